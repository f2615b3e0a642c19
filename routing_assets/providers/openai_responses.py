"""Requests to OpenAI's responses API. OpenAI gets them unchanged; for other providers they are translated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from routing_assets.providers.common import (
    PDF,
    AnswerFormat,
    CannotTranslate,
    CommonRequest,
    Part,
    Text,
    ToolCall,
    ToolResult,
    conversation,
    linked,
)
from routing_assets.providers.form import Form, expect, given, items, mapping, only
from routing_assets.providers.openai import (
    KEPT_BY_ACCOUNT,
    arguments,
    described_function,
    schema_format,
    tool_choice,
)

_KNOWN = (
    *("model", "input", "instructions", "text", "tools", "tool_choice", "reasoning", "parallel_tool_calls"),
    *("truncation", "background", *KEPT_BY_ACCOUNT),
)


class Responses(Form):
    """``{"model", "input": a text or [{"role", "content"}], "instructions", ...}``."""

    name = "responses"
    parameters = {  # noqa: RUF012
        "max_tokens": ("max_output_tokens",),
        "temperature": ("temperature",),
        "top_p": ("top_p",),
    }

    def read(self, body: Mapping[str, Any]) -> CommonRequest:
        only(body, *_KNOWN, *(key for own in self.parameters.values() for key in own))
        if body.get("parallel_tool_calls") is False:
            raise CannotTranslate("parallel_tool_calls")
        if body.get("truncation", "disabled") not in (None, "disabled"):
            raise CannotTranslate("truncation")
        left_out = set(given(body, (*KEPT_BY_ACCOUNT, "reasoning")))
        system: list[str] = []
        turns: list[tuple[Any, list[Part]]] = []
        if body.get("instructions") is not None:
            system.append(expect(body["instructions"], str, "instructions"))
        calls: dict[str, str] = {}
        given_input = body.get("input")
        messages = [{"role": "user", "content": given_input}] if isinstance(given_input, str) else given_input
        for item in items(messages, "input"):
            role, parts = _turn(item, calls, left_out)
            if role == "system" and turns:
                raise CannotTranslate("late_system")
            if role == "system":
                system += [part.text for part in parts if isinstance(part, Text)]
            else:
                turns.append((role, parts))
        return CommonRequest(
            conversation(turns),
            tuple(text for text in system if text.strip()),
            tuple(_tools(body, left_out)),
            tool_choice(body.get("tool_choice"), "function"),
            _answer(mapping(body.get("text")), left_out),
            self.settings_of(body),
            frozenset(left_out),
        )

    def write_content(self, request: CommonRequest) -> dict[str, Any]:
        raise CannotTranslate("responses")

    def meaningful(self, body: Mapping[str, Any]) -> set[str]:
        """As of any form, with the format of the answer."""
        wanted = mapping(mapping(body.get("text")).get("format")).get("type", "text") != "text"
        return super().meaningful(body) | ({"response_format"} if wanted else set())


def _turn(item: Mapping[str, Any], calls: dict[str, str], left_out: set[str]) -> tuple[str, list[Part]]:
    match item.get("type", "message"), item.get("role"):
        case "message", "user" | "assistant" | "system" | "developer" as role:
            only(item, "type", "role", "content", "id", "status")
            parts = list(_parts(item.get("content"), left_out))
            if role != "user" and not all(isinstance(part, Text) for part in parts):
                raise CannotTranslate("content")
            return {"developer": "system"}.get(role, role), parts
        case "function_call", _:
            only(item, "type", "id", "call_id", "name", "arguments", "status")
            name, call = expect(item.get("name"), str, "name"), expect(item.get("call_id"), str, "call_id")
            calls[call] = name
            return "assistant", [ToolCall(call, name, arguments(item))]
        case "function_call_output", _:
            only(item, "type", "id", "call_id", "output", "status")
            call = expect(item.get("call_id"), str, "call_id")
            if call not in calls:
                raise CannotTranslate("call_id")
            return "user", [ToolResult(call, calls[call], expect(item.get("output"), str, "output"))]
    raise CannotTranslate("input")


def _parts(content: Any, left_out: set[str]) -> Iterator[Part]:
    if isinstance(content, str):
        yield Text(content)
        return
    for part in items(content, "content"):
        match part:
            case {"type": "input_text" | "output_text", "text": str(text)}:
                only(part, "type", "text")
                yield Text(text)
            case {"type": "input_image", "image_url": str(url)}:
                only(part, "type", "image_url", "detail")
                left_out |= {f"image {name}" for name in given(part, ("detail",), lambda detail: detail != "auto")}
                yield linked(url, "image/png")
            case {"type": "input_file", "file_data": str(data)} if data.startswith("data:"):
                only(part, "type", "file_data", "filename")
                left_out |= given(part, ("filename",))
                yield linked(data, PDF)
            case _:
                raise CannotTranslate("content")


def _tools(body: Mapping[str, Any], left_out: set[str]) -> Iterator[Any]:
    for tool in items(body.get("tools"), "tools"):
        if tool.get("type") != "function":
            raise CannotTranslate("tools")
        yield described_function(tool, left_out)


def _answer(text: Mapping[str, Any], left_out: set[str]) -> AnswerFormat | None:
    only(text, "format", "verbosity")
    left_out |= given(text, ("verbosity",))
    wanted = mapping(text.get("format"))
    match wanted.get("type", "text"):
        case "text":
            return None
        case "json_object":
            return AnswerFormat()
        case "json_schema":
            return schema_format({"strict": True, **wanted})
    raise CannotTranslate("text")
