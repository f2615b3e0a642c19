"""Bedrock's batch output: ``{"recordId", "modelInput", "modelOutput" | "error"}`` on each line.

The output has the form of the model's maker. The file does not say which model it was. Source: Amazon Bedrock's guide,
"Format and upload your batch inference data" and "Inference request parameters and response fields".
"""

from __future__ import annotations

from collections.abc import Mapping
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

NAME = "Bedrock batch output"


def recognise(record: Mapping[str, Any]) -> bool:
    """Whether a line is of this form."""
    return "recordId" in record and ("modelOutput" in record or "error" in record)


def call(record: Mapping[str, Any]) -> tuple[Any, Answer | Mapping[str, Any]]:
    """The id that was sent, and the model's output or, where there is none, the failed call."""
    name, output = record.get("recordId"), mapping(record.get("modelOutput"))
    if record.get("error") or not output:
        return name, failed(str(name), explain(record.get("error") or "the line holds no output"))
    return name, output


def read_converse(body: Mapping[str, Any]) -> Reply:
    """The output of Amazon's Nova models, and of the Converse API."""
    usage, message = mapping(body.get("usage")), mapping(mapping(body.get("output")).get("message"))
    texts = [part["text"] for part in items(message.get("content")) if words(part.get("text")) is not None]
    blocked = words(body.get("stopReason")) in ("content_filtered", "guardrail_intervened")
    reason, milliseconds = words(body.get("stopReason")), count(mapping(body.get("metrics")).get("latencyMs"))
    cached, stored = count(usage.get("cacheReadInputTokens")), count(usage.get("cacheWriteInputTokens"))
    read = count(usage.get("inputTokens"))
    return Reply(
        joined(texts),
        reason,
        refusal=f"the answer was blocked ({reason})" if blocked else None,
        input_tokens=None if read is None else total(read, cached, stored),
        cached_tokens=cached,
        output_tokens=count(usage.get("outputTokens")),
        surcharge_tokens=0.25 * (stored or 0),
        latency_s=None if milliseconds is None else milliseconds / 1000,
    )


def read_titan(body: Mapping[str, Any]) -> Reply:
    """The output of Amazon's Titan models."""
    results = items(body.get("results"))
    first = results[0] if results else {}
    return Reply(
        words(first.get("outputText")),
        words(first.get("completionReason")),
        input_tokens=count(body.get("inputTextTokenCount")),
        output_tokens=total(*(result.get("tokenCount") for result in results)),
        other_texts=others(words(result.get("outputText")) for result in results),
    )


def read_llama(body: Mapping[str, Any]) -> Reply:
    """The output of Meta's models."""
    return Reply(
        words(body.get("generation")),
        words(body.get("stop_reason")),
        input_tokens=count(body.get("prompt_token_count")),
        output_tokens=count(body.get("generation_token_count")),
    )


def read_texts(body: Mapping[str, Any]) -> Reply:
    """The output of Mistral's (``outputs``) and Cohere's (``generations``) models, which report no token counts."""
    outputs = items(body.get("outputs") or body.get("generations"))
    first = next(iter(outputs), {})
    return Reply(
        words(first.get("text")),
        words(first.get("stop_reason")) or words(first.get("finish_reason")),
        other_texts=others(words(output.get("text")) for output in outputs),
    )
