"""Anthropic's Message Batches results: ``{"custom_id", "result": {"type", "message" | "error"}}`` on each line.

Anthropic counts input tokens that were read from a cache, or written to one, separately from the others. A written
token costs a quarter more than a plain one, or twice as much where the cache lasts for an hour. Source: Anthropic's API
reference, "Retrieve Message Batch results", and its page "Prompt caching".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from routing_assets.answers.answer import Answer, Reply, count, explain, failed, items, joined, mapping, total, words

NAME = "Anthropic Message Batches results"
FIVE_MINUTES, ONE_HOUR = 0.25, 1.0
"""The extra price of a token that is written to a cache of this duration, as a share of an input token's price."""


def recognise(record: Mapping[str, Any]) -> bool:
    """Whether a line is of this form."""
    return "custom_id" in record and "result" in record


def call(record: Mapping[str, Any]) -> tuple[Any, Answer | Mapping[str, Any]]:
    """The id that was sent, and the message or, where there is none, the failed call."""
    name, result = record.get("custom_id"), mapping(record.get("result"))
    kind, message = result.get("type"), mapping(result.get("message"))
    if kind == "succeeded" and message:
        return name, message
    reason = explain(result["error"]) if result.get("error") else "the provider gives no reason"
    return name, failed(str(name), reason if kind == "errored" else f"the call is {kind or 'without a result'}")


def read_message(body: Mapping[str, Any]) -> Reply:
    """The body of a message of Claude's."""
    parts, usage = items(body.get("content")), mapping(body.get("usage"))
    texts = [part["text"] for part in parts if part.get("type") == "text" and words(part.get("text")) is not None]
    tools = [part for part in parts if part.get("type") == "tool_use"]
    reason = words(body.get("stop_reason"))
    cached, stored = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    for_hour = count(mapping(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")) or 0
    read = count(usage.get("input_tokens"))
    return Reply(
        json.dumps(tools, ensure_ascii=False) if tools and not texts else joined(texts),
        reason,
        words(body.get("model")),
        "the model refused" if reason == "refusal" else None,
        None if read is None else total(read, cached, stored),
        cached,
        count(usage.get("output_tokens")),
        surcharge_tokens=FIVE_MINUTES * max((stored or 0) - for_hour, 0) + ONE_HOUR * for_hour,
        response_id=words(body.get("id")),
    )
