"""OpenAI Batch output and error files, and those of services with the same form (Azure, Mistral, Groq, Together, vLLM).

A line is ``{"id", "custom_id", "response": {"status_code", "body"}, "error"}``. Bodies are those of chat completions,
of responses or of completions. Source: OpenAI's API reference, "The request output object".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from routing_assets.answers.answer import Answer, Reply, count, explain, failed, items, joined, mapping, others, words
from routing_assets.foundation.errors import InvalidInput

NAME = "OpenAI Batch output"
_OK = range(200, 300)
_FILTERED = ("content_filter", "safety")
_CACHED = ("cached_tokens", "cached_tokens", "prompt_cache_hit_tokens")
"""Of OpenAI, in the details; of Together and of DeepSeek, beside them."""


def recognise(record: Mapping[str, Any]) -> bool:
    """Whether a line is of this form."""
    return "custom_id" in record and ("response" in record or "error" in record)


def call(record: Mapping[str, Any]) -> tuple[Any, Answer | Mapping[str, Any]]:
    """The id that was sent, and the body of the response or, where there is none, the failed call."""
    name, response = record.get("custom_id"), mapping(record.get("response"))
    body, status = mapping(response.get("body")), count(response.get("status_code"))
    if not body and not {"choices", "output"}.isdisjoint(response):
        body = response  # as Fireworks writes it
    if response and not body and "body" not in response:
        raise InvalidInput(
            f"the response of {name!r} is in a form that is not known: its fields are {', '.join(list(response)[:8])}",
            remedy="Give a table of instruction_id, model, answer, input_tokens and output_tokens instead.",
        )
    line = words(record.get("id"))
    if record.get("error"):
        return name, failed(str(name), explain(record["error"]), words(body.get("model")), line)
    if body.get("error") or not body or (status and status not in _OK):
        reason = explain(body or "the line holds no response")
        return name, failed(str(name), f"HTTP {status}: {reason}" if status else reason, words(body.get("model")), line)
    return name, body


def read_chat(body: Mapping[str, Any]) -> Reply:
    """The body of a chat completion, or of a completion."""
    choices, usage = items(body.get("choices")), mapping(body.get("usage"))
    choice = next(iter(choices), {})
    message, text = mapping(choice.get("message")), _text(choice)
    reason = words(choice.get("finish_reason")) or words(choice.get("stop_reason"))
    refusal = words(message.get("refusal"))
    if refusal:
        refusal = f"the model refused: {refusal}"
    elif reason in _FILTERED and not text:
        refusal = f"the answer was filtered ({reason})"
    read, written = mapping(usage.get("prompt_tokens_details")), mapping(usage.get("completion_tokens_details"))
    return Reply(
        text,
        reason,
        words(body.get("model")),
        refusal,
        count(usage.get("prompt_tokens")),
        count(next((of[name] for of, name in zip((read, usage, usage), _CACHED, strict=True) if name in of), None)),
        _written(usage),
        count(written.get("reasoning_tokens")),
        created=count(body.get("created")),
        response_id=words(body.get("id")),
        other_texts=others(map(_text, choices)),
    )


def _written(usage: Mapping[str, Any]) -> int | None:
    """All tokens that were written: some services count those of reasoning in the total alone."""
    read, written, both = (count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if read is None or written is None or both is None:
        return written
    return max(written, both - read)


def read_response(body: Mapping[str, Any]) -> Reply:
    """The body of OpenAI's responses endpoint."""
    output, usage = items(body.get("output")), mapping(body.get("usage"))
    parts = [part for item in output if item.get("type") == "message" for part in items(item.get("content"))]
    texts = [part["text"] for part in parts if words(part.get("text")) is not None]
    refusals = [part["refusal"] for part in parts if words(part.get("refusal"))]
    calls = [item for item in output if str(item.get("type")).endswith("_call")]
    status, reason = words(body.get("status")), words(mapping(body.get("incomplete_details")).get("reason"))
    refusal = f"the model refused: {refusals[0]}" if refusals else None
    if status in ("failed", "cancelled") or body.get("error"):
        refusal = explain(body["error"]) if body.get("error") else f"the response is {status}"
    read, written = mapping(usage.get("input_tokens_details")), mapping(usage.get("output_tokens_details"))
    return Reply(
        joined(texts) if texts or not calls else _calls(calls),
        reason or status,
        words(body.get("model")),
        refusal,
        count(usage.get("input_tokens")),
        count(read.get("cached_tokens")),
        count(usage.get("output_tokens")),
        count(written.get("reasoning_tokens")),
        created=count(body.get("created_at")),
        response_id=words(body.get("id")),
    )


def _text(choice: Mapping[str, Any]) -> str | None:
    """The text of a choice or, where it has none, its tool calls as JSON."""
    message = mapping(choice.get("message"))
    if not message:
        return words(choice.get("text"))
    content = message.get("content")
    texts = [part["text"] for part in items(content) if words(part.get("text")) is not None]
    text = content if isinstance(content, str) else joined(texts)
    calls = items(message.get("tool_calls"))
    return _calls(calls) if not text and calls else text


def _calls(calls: list[Mapping[str, Any]]) -> str:
    return json.dumps(calls, ensure_ascii=False)
