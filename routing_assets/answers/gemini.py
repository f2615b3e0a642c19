"""Batch output of Gemini, ``{"key", "response" | "error"}``, and of Vertex AI, ``{"request", "response", "status"}``.

Vertex AI returns the request instead of an id. The id is then read from the label ``request.labels.custom_id``, or from
a field beside the request. Source: "Batch API" of Gemini's API, "Batch inference" of Vertex AI, and the type
``GenerateContentResponse``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from routing_assets.answers.answer import (
    Answer,
    Reply,
    count,
    explain,
    failed,
    items,
    joined,
    mapping,
    others,
    total,
    words,
)

NAME = "Gemini or Vertex AI batch output"
IDS = ("key", "custom_id", "instruction_id", "id")
_REFUSED = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY")


def recognise(record: Mapping[str, Any]) -> bool:
    """Whether a line is of this form."""
    if "request" in record and ("response" in record or "status" in record):
        return True
    return "key" in record and ("response" in record or "error" in record)


def call(record: Mapping[str, Any]) -> tuple[Any, Answer | Mapping[str, Any]]:
    """The id that was sent, and the body of the response or, where there is none, the failed call."""
    request = mapping(record.get("request"))
    places = (record, mapping(record.get("metadata")), request, mapping(request.get("labels")))
    name = next((place[field] for place in places for field in IDS if field in place), None)
    response, status = mapping(record.get("response")), record.get("status")
    if record.get("error") or not response:
        return name, failed(str(name), explain(record.get("error") or status or "the line holds no response"))
    return name, response


def read_response(body: Mapping[str, Any]) -> Reply:
    """A response of Gemini's ``generateContent``. Thoughts are paid for as output, but are not part of the answer."""
    candidates, usage = items(body.get("candidates")), mapping(body.get("usageMetadata"))
    candidate = next(iter(candidates), {})
    text = _text(candidate)
    reason, blocked = words(candidate.get("finishReason")), mapping(body.get("promptFeedback")).get("blockReason")
    refusal = f"the prompt was blocked ({blocked})" if blocked else None
    if reason in _REFUSED and text is None:
        refusal = f"the answer was blocked ({reason})"
    read, thoughts = count(usage.get("promptTokenCount")), count(usage.get("thoughtsTokenCount"))
    return Reply(
        text,
        reason,
        words(body.get("modelVersion")),
        refusal,
        None if read is None else total(read, usage.get("toolUsePromptTokenCount")),
        count(usage.get("cachedContentTokenCount")),
        _output(usage),
        thoughts,
        created=_seconds(body.get("createTime")),
        response_id=words(body.get("responseId")),
        other_texts=others(map(_text, candidates)),
    )


def _text(candidate: Mapping[str, Any]) -> str | None:
    parts = items(mapping(candidate.get("content")).get("parts"))
    return joined([part["text"] for part in parts if words(part.get("text")) is not None and not part.get("thought")])


def _output(usage: Mapping[str, Any]) -> int | None:
    """Output tokens. An empty answer has no count of them: then it is the total less the input tokens."""
    written = total(usage.get("candidatesTokenCount"), usage.get("thoughtsTokenCount"))
    every = count(usage.get("totalTokenCount"))
    read = total(usage.get("promptTokenCount"), usage.get("toolUsePromptTokenCount"))
    if written is None and every is not None and read is not None:
        return max(every - read, 0)
    return written


def _seconds(time: Any) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp() if isinstance(time, str) else None
    except (ValueError, OverflowError):
        return None
