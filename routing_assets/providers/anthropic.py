"""Anthropic's messages, on Anthropic's own platform and on Bedrock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from routing_assets.providers.common import (
    PDF,
    AnswerFormat,
    CannotTranslate,
    CommonRequest,
    Media,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    conversation,
    media,
)
from routing_assets.providers.form import Form, expect, given, items, mapping, only

MAX_TOKENS = 4096
"""Written where a request has no bound, for Anthropic asks for one; all its models can answer so long."""
_IGNORED = ("metadata", "service_tier", "stream", "thinking")
_KNOWN = ("model", "messages", "system", "tools", "tool_choice", "output_config", "anthropic_version", *_IGNORED)


class Messages(Form):
    """``{"model", "max_tokens", "system", "messages": [{"role", "content"}], ...}``."""

    name = "messages"
    parameters = {  # noqa: RUF012
        "max_tokens": ("max_tokens",),
        "temperature": ("temperature",),
        "top_p": ("top_p",),
        "top_k": ("top_k",),
        "stop": ("stop_sequences",),
    }
    greatest_temperature = 1.0
    expresses = frozenset(
        (
            *("max_tokens", "stop", "many_stops", "tools", "tool_choice_none", "failed_result"),
            *("response_format", "json_schema", "image_data", "image_link", "gif", "document_data", "document_link"),
        )
    )

    def read(self, body: Mapping[str, Any]) -> CommonRequest:
        only(body, *_KNOWN, *(key for own in self.parameters.values() for key in own))
        left_out = set(given(body, _IGNORED))
        calls: dict[str, str] = {}
        turns: list[tuple[Any, list[Part]]] = []
        for message in items(body.get("messages"), "messages"):
            only(message, "role", "content")
            if message.get("role") not in ("user", "assistant"):
                raise CannotTranslate("role")
            turns.append((message["role"], list(_parts(message.get("content"), calls, left_out))))
        system = [part.text for part in _parts(body.get("system") or [], calls, left_out) if isinstance(part, Text)]
        return CommonRequest(
            conversation(turns),
            tuple(text for text in system if text.strip()),
            tuple(_tool(tool, left_out) for tool in items(body.get("tools"), "tools")),
            _tool_choice(body.get("tool_choice")),
            _answer(mapping(body.get("output_config")), left_out),
            self.settings_of(body),
            frozenset(left_out),
        )

    def write_content(self, request: CommonRequest) -> dict[str, Any]:
        request = request.with_a_turn()
        body: dict[str, Any] = {}
        if request.system:
            texts = [_part(Text(text)) for text in request.system]
            body["system"] = request.system[0] if len(texts) == 1 else texts
        body["messages"] = [{"role": message.role, "content": _content(message.parts)} for message in request.messages]
        if request.tools:
            body["tools"] = [_described(tool) for tool in request.tools]
        if (choice := request.tool_choice) is not None:
            body["tool_choice"] = {"type": choice.kind} | ({} if choice.name is None else {"name": choice.name})
        if request.answer is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": request.answer.schema}}
        return body

    def write(self, request: CommonRequest) -> tuple[dict[str, Any], list[str]]:
        """As of any form; a bound is added where the request has none."""
        body, changes = super().write(request)
        if "max_tokens" in body:
            return body, changes
        return {"max_tokens": MAX_TOKENS, **body}, [*changes, f"max_tokens is set to {MAX_TOKENS}"]

    def meaningful(self, body: Mapping[str, Any]) -> set[str]:
        """As of any form, with the format of the answer."""
        wanted = mapping(body.get("output_config")).get("format")
        return super().meaningful(body) | ({"response_format"} if wanted else set())


def _parts(content: Any, calls: dict[str, str], left_out: set[str]) -> Iterator[Part]:
    if isinstance(content, str):
        yield Text(content)
        return
    for block in items(content, "content"):
        if "cache_control" in block:
            left_out.add("cache_control")
            block = {name: value for name, value in block.items() if name != "cache_control"}
        match block:
            case {"type": "text", "text": str(text)}:
                only(block, "type", "text")
                yield Text(text)
            case {"type": "image" | "document" as kind, "source": dict(source)}:
                only(block, "type", "source", *(("title",) if kind == "document" else ()))
                left_out |= given(block, ("title",))
                yield _media(kind, source)
            case {"type": "tool_use", "id": str(name), "name": str(tool), "input": dict(arguments)}:
                only(block, "type", "id", "name", "input")
                calls[name] = tool
                yield ToolCall(name, tool, arguments)
            case {"type": "tool_result", "tool_use_id": str(name)} if name in calls:
                only(block, "type", "tool_use_id", "content", "is_error")
                texts = list(_parts(block.get("content") or [], {}, left_out))
                if not all(isinstance(part, Text) for part in texts):
                    raise CannotTranslate("tool_result")
                text = "\n\n".join(part.text for part in texts if isinstance(part, Text))
                yield ToolResult(name, calls[name], text, block.get("is_error") is True)
            case _:
                raise CannotTranslate("content")


def _media(kind: str, source: Mapping[str, Any]) -> Media:
    match source:
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            found = media(media_type, data=data)
            if found.kind == kind:
                return found
        case {"type": "url", "url": str(link)}:
            return Media(PDF if kind == "document" else "image/png", link=link)
    raise CannotTranslate(kind)


def _tool(tool: Mapping[str, Any], left_out: set[str]) -> Tool:
    only(tool, "type", "name", "description", "input_schema", "cache_control", "strict")
    left_out |= given(tool, ("cache_control",))
    if tool.get("strict"):
        left_out.add("strict tools")
    if tool.get("type", "custom") != "custom":
        raise CannotTranslate("tools")
    description = tool.get("description")
    schema = expect(tool.get("input_schema"), dict, "tools")
    return Tool(
        expect(tool.get("name"), str, "tools"),
        None if description is None else expect(description, str, "tools"),
        schema,
    )


def _described(tool: Tool) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
    described = {"name": tool.name, "description": tool.description, "input_schema": schema}
    return {name: value for name, value in described.items() if value is not None}


def _tool_choice(choice: Any) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case {"type": "auto" | "any" | "none" as kind}:
            only(choice, "type")
            return ToolChoice(kind)
        case {"type": "tool", "name": str(name)}:
            only(choice, "type", "name")
            return ToolChoice("tool", name)
    raise CannotTranslate("tool_choice")


def _answer(config: Mapping[str, Any], left_out: set[str]) -> AnswerFormat | None:
    only(config, "format", "effort")
    left_out |= given(config, ("effort",))
    match config.get("format"):
        case None:
            return None
        case {"type": "json_schema", "schema": dict(schema)}:
            return AnswerFormat(schema, strict=True)
    raise CannotTranslate("output_config")


def _content(parts: tuple[Part, ...]) -> Any:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case ToolCall(name, tool, arguments):
            return {"type": "tool_use", "id": name, "name": tool, "input": arguments}
        case ToolResult(name, _, text, failed):
            result = {"type": "tool_result", "tool_use_id": name, "content": text}
            return result | ({"is_error": True} if failed else {})
        case Media(kind="image" | "document" as kind, data=str(data)):
            return {"type": kind, "source": {"type": "base64", "media_type": part.media_type, "data": data}}
        case Media(kind="image" | "document" as kind, link=str(link)):
            return {"type": kind, "source": {"type": "url", "url": link}}
    raise CannotTranslate("content")
