"""Bedrock's Converse, which all of its models with turns take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from routing_assets.providers.common import (
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

_IGNORED = ("requestMetadata", "performanceConfig")


class Converse(Form):
    """``{"messages": [{"role", "content": [{"text"}]}], "system", "inferenceConfig", ...}``."""

    name = "converse"
    configuration = "inferenceConfig"
    parameters = {  # noqa: RUF012
        "max_tokens": ("maxTokens", "max_new_tokens"),
        "temperature": ("temperature",),
        "top_p": ("topP",),
        "stop": ("stopSequences",),
    }
    greatest_temperature = 1.0
    expresses = frozenset(("max_tokens", "stop", "tools", "failed_result", "image_data", "gif", "document_data"))

    def read(self, body: Mapping[str, Any]) -> CommonRequest:
        only(body, "modelId", "schemaVersion", "messages", "system", "inferenceConfig", "toolConfig", *_IGNORED)
        only(mapping(body.get("inferenceConfig")), *(key for own in self.parameters.values() for key in own))
        calls: dict[str, str] = {}
        turns: list[tuple[Any, list[Part]]] = []
        for message in items(body.get("messages"), "messages"):
            only(message, "role", "content")
            if message.get("role") not in ("user", "assistant"):
                raise CannotTranslate("role")
            turns.append((message["role"], list(_parts(message.get("content"), calls))))
        system = [part.text for part in _parts(body.get("system"), calls) if isinstance(part, Text)]
        config = mapping(body.get("toolConfig"))
        only(config, "tools", "toolChoice")
        return CommonRequest(
            conversation(turns),
            tuple(text for text in system if text.strip()),
            tuple(_tool(tool) for tool in items(config.get("tools"), "tools")),
            _tool_choice(config.get("toolChoice")),
            None,
            self.settings_of(body),
            given(body, _IGNORED),
        )

    def write_content(self, request: CommonRequest) -> dict[str, Any]:
        request = request.with_a_turn()
        body: dict[str, Any] = {}
        if request.system:
            body["system"] = [{"text": text} for text in request.system]
        body["messages"] = [
            {"role": message.role, "content": [_part(part, i) for i, part in enumerate(message.parts, start=1)]}
            for message in request.messages
        ]
        if request.tools:
            body["toolConfig"] = {"tools": [_described(tool) for tool in request.tools]}
            if (choice := request.tool_choice) is not None:
                named = {} if choice.name is None else {"name": choice.name}
                body["toolConfig"]["toolChoice"] = {choice.kind: named}
        return body


def _parts(content: Any, calls: dict[str, str]) -> Iterator[Part]:
    for block in items(content, "content"):
        match block:
            case {"text": str(text)}:
                only(block, "text")
                yield Text(text)
            case {"image": {"format": str(format), "source": {"bytes": str(data)}}}:
                only(block, "image")
                yield media(f"image/{format}", data=data)
            case {"document": {"format": "pdf", "source": {"bytes": str(data)}} as document}:
                only(block, "document")
                only(document, "format", "name", "source")
                yield media("application/pdf", data=data)
            case {"toolUse": {"toolUseId": str(name), "name": str(tool), "input": dict(arguments)}}:
                only(block, "toolUse")
                calls[name] = tool
                yield ToolCall(name, tool, arguments)
            case {"toolResult": {"toolUseId": str(name)} as result} if name in calls:
                only(block, "toolResult")
                only(result, "toolUseId", "content", "status")
                texts = "\n\n".join(map(_said, items(result.get("content"), "toolResult")))
                yield ToolResult(name, calls[name], texts, result.get("status") == "error")
            case _:
                raise CannotTranslate("content")


def _said(block: Mapping[str, Any]) -> str:
    match block:
        case {"text": str(text)}:
            return text
        case {"json": value}:
            return json.dumps(value, ensure_ascii=False)
    raise CannotTranslate("toolResult")


def _tool(tool: Mapping[str, Any]) -> Tool:
    only(tool, "toolSpec")
    spec = expect(tool.get("toolSpec"), dict, "tools")
    only(spec, "name", "description", "inputSchema")
    description = spec.get("description")
    return Tool(
        expect(spec.get("name"), str, "tools"),
        None if description is None else expect(description, str, "tools"),
        expect(mapping(spec.get("inputSchema")).get("json"), dict, "tools"),
    )


def _described(tool: Tool) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
    described = {"name": tool.name, "description": tool.description, "inputSchema": {"json": schema}}
    return {"toolSpec": {name: value for name, value in described.items() if value is not None}}


def _tool_choice(choice: Any) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case {"tool": {"name": str(name)}}:
            return ToolChoice("tool", name)
        case {"auto": _}:
            return ToolChoice("auto")
        case {"any": _}:
            return ToolChoice("any")
    raise CannotTranslate("toolChoice")


def _part(part: Part, number: int) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"text": text}
        case ToolCall(name, tool, arguments):
            return {"toolUse": {"toolUseId": name, "name": tool, "input": arguments}}
        case ToolResult(name, _, text, failed):
            result = {"toolUseId": name, "content": [{"text": text}]}
            return {"toolResult": result | ({"status": "error"} if failed else {})}
        case Media(kind="image", data=str(data)):
            return {"image": {"format": part.media_type.split("/")[1], "source": {"bytes": data}}}
        case Media(kind="document", data=str(data)):
            return {"document": {"format": "pdf", "name": f"document-{number}", "source": {"bytes": data}}}
    raise CannotTranslate("content")
