"""OpenAI's chat completions, which many other providers and gateways take as well, and its completions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from routing_assets.providers.common import (
    PDF,
    AnswerFormat,
    CannotTranslate,
    CommonRequest,
    Media,
    Message,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    conversation,
    linked,
    media,
)
from routing_assets.providers.form import Form, expect, given, items, mapping, only

KEPT_BY_ACCOUNT = (
    *("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
    *("stream", "stream_options"),
)
"""Fields for the account's bookkeeping, without effect on the answer."""
FILE_NAME = "document.pdf"
"""The name of a PDF that came without one: chat completions require a name."""
HINTS = ("reasoning_effort", "verbosity")
_KNOWN = (
    *("model", "messages", "tools", "tool_choice", "response_format", "parallel_tool_calls", "modalities"),
    *KEPT_BY_ACCOUNT,
    *HINTS,
)


class Chat(Form):
    """``{"model", "messages": [{"role", "content"}], ...}``."""

    name = "chat"
    parameters = {  # noqa: RUF012
        "max_tokens": ("max_completion_tokens", "max_tokens"),
        "temperature": ("temperature",),
        "top_p": ("top_p",),
        "stop": ("stop",),
        "seed": ("seed",),
        "frequency_penalty": ("frequency_penalty",),
        "presence_penalty": ("presence_penalty",),
        "n": ("n",),
    }
    expresses = frozenset(
        (
            *("max_tokens", "n", "stop", "blank_stop", "tools", "tool_choice_none"),
            *("response_format", "json_object", "json_schema", "loose_schema"),
            *("image_data", "image_link", "gif", "audio_data", "document_data", "assistant_first"),
        )
    )

    def read(self, body: Mapping[str, Any]) -> CommonRequest:
        only(body, *_KNOWN, *(key for own in self.parameters.values() for key in own))
        if body.get("parallel_tool_calls") is False:
            raise CannotTranslate("parallel_tool_calls")
        left_out = set(given(body, (*KEPT_BY_ACCOUNT, *HINTS)))
        system: list[str] = []
        turns: list[tuple[Any, list[Part]]] = []
        calls: dict[str, str] = {}
        for message in items(body.get("messages"), "messages"):
            only(
                message,
                "role",
                "content",
                *{"assistant": ("tool_calls",), "tool": ("tool_call_id",)}.get(str(message.get("role")), ()),
            )
            match message.get("role"):
                case "system" | "developer":
                    if turns:
                        raise CannotTranslate("late_system")
                    system += [part.text for part in _parts(message, left_out, texts_alone=True) if part.text.strip()]
                case "user":
                    turns.append(("user", list(_parts(message, left_out))))
                case "assistant":
                    made = [function_call(call) for call in items(message.get("tool_calls"), "tool_calls")]
                    calls |= {call.id: call.name for call in made}
                    turns.append(("assistant", [*_parts(message, left_out, texts_alone=True), *made]))
                case "tool":
                    turns.append(("user", [_result(message, calls, left_out)]))
                case _:
                    raise CannotTranslate("role")
        return CommonRequest(
            conversation(turns),
            tuple(system),
            tuple(_tool(tool, left_out) for tool in items(body.get("tools"), "tools")),
            tool_choice(body.get("tool_choice"), "function"),
            _answer(body.get("response_format")),
            self.settings_of(body),
            frozenset(left_out),
        )

    def write_content(self, request: CommonRequest) -> dict[str, Any]:
        messages: list[dict[str, Any]] = [{"role": "system", "content": text} for text in request.system]
        for message in request.messages:
            messages += _user(message) if message.role == "user" else [_assistant(message)]
        body: dict[str, Any] = {"messages": messages}
        if request.tools:
            body["tools"] = [{"type": "function", "function": function(tool)} for tool in request.tools]
        if (choice := request.tool_choice) is not None:
            body["tool_choice"] = (
                {"type": "function", "function": {"name": choice.name}}
                if choice.kind == "tool"
                else {"any": "required"}.get(choice.kind, choice.kind)
            )
        if (answer := request.answer) is not None:
            body["response_format"] = (
                {"type": "json_object"}
                if answer.schema is None
                else {
                    "type": "json_schema",
                    "json_schema": {"name": answer.name, "schema": answer.schema, "strict": answer.strict},
                }
            )
        return body


class CompatibleChat(Chat):
    """Chat completions of other servers. Some of them know only the older name, ``max_tokens``."""

    parameters = {**Chat.parameters, "max_tokens": ("max_tokens", "max_completion_tokens")}  # noqa: RUF012


class Completions(Form):
    """``{"model", "prompt"}``: the model continues a text, which no form with turns can express."""

    name = "completions"
    parameters = {**Chat.parameters, "max_tokens": ("max_tokens",)}  # noqa: RUF012

    def read(self, body: Mapping[str, Any]) -> CommonRequest:
        raise CannotTranslate("prompt")

    def write_content(self, request: CommonRequest) -> dict[str, Any]:
        raise CannotTranslate("prompt")


def function(tool: Tool) -> dict[str, Any]:
    """A tool in OpenAI's form, without empty fields."""
    described = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {name: value for name, value in described.items() if value is not None}


def function_call(call: Mapping[str, Any]) -> ToolCall:
    """A call of a function that the model made."""
    only(call, "id", "type", "function", "index")
    made = mapping(call.get("function"))
    return ToolCall(
        expect(call.get("id"), str, "tool_calls"), expect(made.get("name"), str, "tool_calls"), arguments(made)
    )


def arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call, which OpenAI writes as a text of JSON."""
    try:
        return expect(json.loads(expect(call.get("arguments"), str, "arguments") or "{}"), dict, "arguments")
    except (ValueError, RecursionError) as error:
        raise CannotTranslate("arguments") from error


def tool_choice(choice: Any, named: str) -> ToolChoice | None:
    """``auto``, ``none``, ``required`` or a function; its name is in the field ``named`` or in ``choice`` itself."""
    match choice:
        case None:
            return None
        case "auto" | "none":
            return ToolChoice(choice)
        case "required":
            return ToolChoice("any")
        case {"type": "function"}:
            return ToolChoice("tool", expect(mapping(choice.get(named, choice)).get("name"), str, "tool_choice"))
    raise CannotTranslate("tool_choice")


def schema_format(described: Mapping[str, Any]) -> AnswerFormat:
    """A JSON schema that the answer follows: ``name, schema, strict``."""
    only(described, "type", "name", "schema", "strict")
    name = described.get("name", "answer")
    schema = expect(described.get("schema"), dict, "response_format")
    return AnswerFormat(schema, expect(name, str, "response_format"), described.get("strict") is True)


def described_function(tool: Mapping[str, Any], left_out: set[str]) -> Tool:
    """A function that the model may call: ``name, description, parameters, strict``."""
    only(tool, "type", "name", "description", "parameters", "strict")
    if tool.get("strict"):
        left_out.add("strict tools")
    schema, description = tool.get("parameters"), tool.get("description")
    return Tool(
        expect(tool.get("name"), str, "tools"),
        None if description is None else expect(description, str, "tools"),
        None if schema is None else expect(schema, dict, "tools"),
    )


def _tool(tool: Mapping[str, Any], left_out: set[str]) -> Tool:
    only(tool, "type", "function")
    if tool.get("type", "function") != "function":
        raise CannotTranslate("tools")
    return described_function(expect(tool.get("function"), dict, "tools"), left_out)


def _answer(wanted: Any) -> AnswerFormat | None:
    kind = mapping(wanted).get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return AnswerFormat()
    if kind != "json_schema":
        raise CannotTranslate("response_format")
    return schema_format(mapping(wanted.get("json_schema")))


def _result(message: Mapping[str, Any], calls: Mapping[str, str], left_out: set[str]) -> ToolResult:
    name = expect(message.get("tool_call_id"), str, "tool_call_id")
    if name not in calls:
        raise CannotTranslate("tool_call_id")
    text = "\n\n".join(part.text for part in _parts(message, left_out, texts_alone=True))
    return ToolResult(name, calls[name], text)


def _parts(message: Mapping[str, Any], left_out: set[str], *, texts_alone: bool = False) -> Iterator[Any]:
    content = message.get("content")
    if isinstance(content, str):
        yield Text(content)
        return
    for part in items(content, "content"):
        if part.get("type") == "text":
            only(part, "type", "text")
            yield Text(expect(part.get("text"), str, "text"))
        elif texts_alone:
            raise CannotTranslate("content")
        else:
            yield _media(part, left_out)


def _media(part: Mapping[str, Any], left_out: set[str]) -> Media:
    match part:
        case {"type": "image_url", "image_url": {"url": str(url)} as image}:
            only(image, "url", "detail")
            left_out |= {f"image {name}" for name in given(image, ("detail",), lambda detail: detail != "auto")}
            return linked(url, "image/png")
        case {"type": "input_audio", "input_audio": {"data": str(data), "format": "wav" | "mp3" as format}}:
            return media(f"audio/{format}", data=data)
        case {"type": "file", "file": {"file_data": str(data)} as file}:
            only(file, "file_data", "filename")
            left_out |= given(file, ("filename",), lambda name: name != FILE_NAME)
            found = linked(data, PDF)
            if found.data is not None:
                return found
    raise CannotTranslate("content")


def _user(message: Message) -> Iterator[dict[str, Any]]:
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        yield {"role": "tool", "tool_call_id": result.id, "content": result.text}
    rest = message.parts[len(results) :]
    if len(rest) == 1 and isinstance(rest[0], Text):
        yield {"role": "user", "content": rest[0].text}
    elif rest:
        yield {"role": "user", "content": [_part(part) for part in rest]}


def _assistant(message: Message) -> dict[str, Any]:
    texts = [{"type": "text", "text": part.text} for part in message.parts if isinstance(part, Text)]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    content = texts[0]["text"] if len(texts) == 1 else texts or None
    turn: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in calls
        ]
    return turn


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Media(kind="image", link=str(link)):
            return {"type": "image_url", "image_url": {"url": link}}
        case Media(kind="image"):
            return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{part.data}"}}
        case Media(kind="audio", data=str(data)):
            return {"type": "input_audio", "input_audio": {"data": data, "format": part.media_type.split("/")[1]}}
        case Media(kind="document", data=str(data)):
            uri = f"data:{part.media_type};base64,{data}"
            return {"type": "file", "file": {"filename": FILE_NAME, "file_data": uri}}
    raise CannotTranslate("content")
