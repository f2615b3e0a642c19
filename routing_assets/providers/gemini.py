"""Gemini's contents, on Google's AI platform and on Vertex."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from routing_assets.providers.common import (
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

_IGNORED = ("safetySettings", "labels")
_HINTS = ("thinkingConfig", "mediaResolution")
_MODES = {"AUTO": "auto", "ANY": "any", "NONE": "none"}


class Contents(Form):
    """``{"contents": [{"role", "parts"}], "systemInstruction", "generationConfig", ...}``."""

    name = "contents"
    configuration = "generationConfig"
    parameters = {  # noqa: RUF012
        "max_tokens": ("maxOutputTokens",),
        "temperature": ("temperature",),
        "top_p": ("topP",),
        "top_k": ("topK",),
        "stop": ("stopSequences",),
        "seed": ("seed",),
        "frequency_penalty": ("frequencyPenalty",),
        "presence_penalty": ("presencePenalty",),
        "n": ("candidateCount",),
    }
    expresses = frozenset(
        (
            *("max_tokens", "n", "stop", "blank_stop", "tools", "tool_choice_none"),
            *("response_format", "json_object", "json_unsaid", "json_schema", "loose_schema"),
            *("image_data", "audio_data", "document_data"),
        )
    )

    def read(self, body: Mapping[str, Any]) -> CommonRequest:
        body = _camel(body)
        only(body, "model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", *_IGNORED)
        config = mapping(body.get("generationConfig"))
        own = (key for names in self.parameters.values() for key in names)
        answer = ("responseMimeType", "responseSchema", "responseJsonSchema", "responseModalities")
        only(config, *own, *answer, *_HINTS)
        contents, waiting = body.get("contents"), list[ToolCall]()
        turns: list[tuple[Any, list[Part]]] = []
        for turn in items([contents] if isinstance(contents, dict) else contents, "contents"):
            only(turn, "role", "parts")
            if turn.get("role") not in (None, "user", "model", "function"):
                raise CannotTranslate("role")
            role = "assistant" if turn.get("role") == "model" else "user"
            turns.append((role, list(_parts(turn.get("parts"), waiting, len(turns)))))
        system = mapping(body.get("systemInstruction"))
        only(system, "role", "parts")
        texts = [part.text for part in _parts(system.get("parts"), [], 0) if isinstance(part, Text)]
        return CommonRequest(
            conversation(turns),
            tuple(text for text in texts if text.strip()),
            tuple(_tools(body)),
            _tool_choice(mapping(body.get("toolConfig"))),
            _answer(config),
            self.settings_of(body),
            given(body, _IGNORED) | given(config, _HINTS),
        )

    def write_content(self, request: CommonRequest) -> dict[str, Any]:
        request = request.with_a_turn()
        roles = {"user": "user", "assistant": "model"}
        body: dict[str, Any] = {}
        if request.system:
            body["systemInstruction"] = {"parts": [{"text": text} for text in request.system]}
        body["contents"] = [
            {"role": roles[message.role], "parts": [_part(part) for part in message.parts]}
            for message in request.messages
        ]
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
        if (choice := request.tool_choice) is not None:
            mode = next((mode for mode, kind in _MODES.items() if kind == choice.kind), "ANY")
            names = {} if choice.name is None else {"allowedFunctionNames": [choice.name]}
            body["toolConfig"] = {"functionCallingConfig": {"mode": mode, **names}}
        if (answer := request.answer) is not None:
            schema = {} if answer.schema is None else {"responseJsonSchema": answer.schema}
            body["generationConfig"] = {"responseMimeType": "application/json", **schema}
        return body

    def settings_of(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As of any form; the names may be written with underscores."""
        return super().settings_of(_camel(body))

    def meaningful(self, body: Mapping[str, Any]) -> set[str]:
        """As of any form, with the format of the answer."""
        wanted = mapping(_camel(body).get("generationConfig")).get("responseMimeType") == "application/json"
        return super().meaningful(body) | ({"response_format"} if wanted else set())


def _camel(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body and its settings with the names of the REST API, which clients also write with underscores."""
    named = {_camel_name(name): value for name, value in body.items()}
    config = mapping(named.get("generationConfig"))
    return named | ({"generationConfig": {_camel_name(k): v for k, v in config.items()}} if config else {})


def _camel_name(name: str) -> str:
    return re.sub("_([a-z])", lambda found: found[1].upper(), name)


def _parts(parts: Any, waiting: list[ToolCall], turn: int) -> Iterator[Part]:
    for number, part in enumerate(items(parts, "parts")):
        part = {_camel_name(name): value for name, value in part.items()}
        match part:
            case {"text": str(text)}:
                only(part, "text")
                yield Text(text)
            case {"inlineData": dict(data)}:
                only(part, "inlineData")
                data = {_camel_name(name): value for name, value in data.items()}
                only(data, "mimeType", "data")
                yield media(expect(data.get("mimeType"), str, "inlineData"), data=expect(data.get("data"), str, "data"))
            case {"functionCall": {"name": str(name)} as call}:
                only(part, "functionCall")
                only(call, "name", "args", "id")
                waiting.append(ToolCall(f"call_{turn}_{number}", name, expect(call.get("args") or {}, dict, "args")))
                yield waiting[-1]
            case {"functionResponse": {"name": str(name), "response": dict(response)} as result}:
                only(part, "functionResponse")
                only(result, "name", "response", "id")
                call = next((call for call in waiting if call.name == name), None)
                if call is None:
                    raise CannotTranslate("functionResponse")
                waiting.remove(call)
                returned = response.get("result") if response.keys() == {"result"} else None
                text = returned if isinstance(returned, str) else json.dumps(response, ensure_ascii=False)
                yield ToolResult(call.id, name, text)
            case _:
                raise CannotTranslate("parts")


def _tools(body: Mapping[str, Any]) -> Iterator[Tool]:
    for tool in items(body.get("tools"), "tools"):
        tool = {_camel_name(name): value for name, value in tool.items()}
        only(tool, "functionDeclarations")
        for declared in items(tool.get("functionDeclarations"), "tools"):
            declared = {_camel_name(name): value for name, value in declared.items()}
            only(declared, "name", "description", "parameters", "parametersJsonSchema")
            schema = declared.get("parametersJsonSchema")
            if schema is None and declared.get("parameters") is not None:
                schema = _json_schema(declared["parameters"])
            description = declared.get("description")
            yield Tool(
                expect(declared.get("name"), str, "tools"),
                None if description is None else expect(description, str, "tools"),
                None if schema is None else expect(schema, dict, "tools"),
            )


def _json_schema(schema: Any) -> Any:
    """A schema of Gemini's own kind, whose types are in capitals, as a JSON schema."""
    try:
        return _lowered(schema)
    except RecursionError as error:
        raise CannotTranslate("schema") from error


def _lowered(schema: Any) -> Any:
    expect(schema, dict, "schema")
    if schema.get("nullable"):
        raise CannotTranslate("nullable")
    lowered: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "type":
                lowered[name] = expect(value, str, "schema").lower()
            case "properties":
                lowered[name] = {key: _lowered(part) for key, part in expect(value, dict, "schema").items()}
            case "items":
                lowered[name] = _lowered(value)
            case "anyOf" | "any_of":
                lowered["anyOf"] = [_lowered(part) for part in expect(value, list, "schema")]
            case "propertyOrdering" | "nullable":
                pass
            case _:
                lowered[name] = value
    return lowered


def _tool_choice(config: Mapping[str, Any]) -> ToolChoice | None:
    only(config, "functionCallingConfig")
    calling = mapping(config.get("functionCallingConfig"))
    only(calling, "mode", "allowedFunctionNames")
    match calling:
        case {"mode": "ANY", "allowedFunctionNames": [str(name)]}:
            return ToolChoice("tool", name)
        case {"mode": "AUTO" | "ANY" | "NONE" as mode} if not calling.get("allowedFunctionNames"):
            return ToolChoice(_MODES[mode])
    if calling:
        raise CannotTranslate("toolConfig")
    return None


def _answer(config: Mapping[str, Any]) -> AnswerFormat | None:
    mime = config.get("responseMimeType") or "text/plain"
    if mime == "text/plain":
        return None
    if mime != "application/json":
        raise CannotTranslate("responseMimeType")
    schema = config.get("responseJsonSchema")
    if schema is None and config.get("responseSchema") is not None:
        schema = _json_schema(config["responseSchema"])
    return AnswerFormat(None if schema is None else expect(schema, dict, "responseJsonSchema"))


def _declaration(tool: Tool) -> dict[str, Any]:
    declared = {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.schema}
    return {name: value for name, value in declared.items() if value is not None}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"text": text}
        case ToolCall(_, name, arguments):
            return {"functionCall": {"name": name, "args": arguments}}
        case ToolResult(_, name, text):
            return {"functionResponse": {"name": name, "response": {"result": text}}}
        case Media(data=str(data)):
            return {"inlineData": {"mimeType": part.media_type, "data": data}}
    raise CannotTranslate("parts")
