"""What came of one call, in whatever form a provider reports it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What the body of a response says. Unknown fields are None.

    Attributes:
        text: of the first answer.
        other_texts: of the others, where several were asked for.
        finish_reason: why the model stopped, in the provider's word.
        model: as the provider calls it.
        refusal: why there is no answer although the call went through: the model or a filter refused.
        input_tokens: all that were read, those from a cache too.
        cached_tokens: of these, how many were read from a cache.
        output_tokens: all that were written, those of reasoning too.
        reasoning_tokens: of these, how many were reasoning.
        surcharge_tokens: further input tokens that writing to a cache is billed as.
        latency_s: seconds.
        created: when the provider made it, in seconds since 1970.
        response_id: the provider's name for it.
    """

    text: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    refusal: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    surcharge_tokens: float = 0.0
    latency_s: float | None = None
    created: float | None = None
    response_id: str | None = None
    other_texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One call and what came of it.

    Attributes:
        instruction_id: as it was sent.
        model: as the provider calls it; None where the provider does not say.
        attempt: 1 for the first call of this instruction to this model.
        error: why there is no answer: the call failed, expired or was refused. None for an answer.
        created: when it was made, or else when its file came, in seconds since 1970.

    The other fields are those of :class:`Reply`.
    """

    instruction_id: str
    model: str | None
    attempt: int
    text: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    latency_s: float | None = None
    error: str | None = None
    surcharge_tokens: float = 0.0
    created: float | None = None
    response_id: str | None = None
    other_texts: tuple[str, ...] = ()


def answered(instruction_id: str, reply: Reply) -> Answer:
    """The answer to an instruction that a reply holds; a failed call where it was refused or holds nothing."""
    error = reply.refusal
    if error is None and reply.text is None:
        error = "the response holds no answer" + (f" ({reply.finish_reason})" if reply.finish_reason else "")
    return Answer(
        instruction_id,
        reply.model,
        1,
        reply.text,
        reply.finish_reason,
        reply.input_tokens,
        reply.cached_tokens,
        reply.output_tokens,
        reply.reasoning_tokens,
        reply.latency_s,
        error,
        reply.surcharge_tokens,
        reply.created,
        reply.response_id,
        reply.other_texts,
    )


def failed(instruction_id: str, error: str, model: str | None = None, response_id: str | None = None) -> Answer:
    """A call that came to nothing."""
    return Answer(instruction_id, model, 1, error=error, response_id=response_id)


def mapping(value: Any) -> Mapping[str, Any]:
    """The JSON object, or an empty one where it is something else."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a JSON list; nothing where it is something else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def words(value: Any) -> str | None:
    """The text, or None where it is something else."""
    return value if isinstance(value, str) else None


def count(value: Any) -> int | None:
    """A number of tokens; None where it is something else, such as a negative number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return int(value) if value == int(value) else None


def total(*counts: Any) -> int | None:
    """The sum of the known numbers of tokens; None where none is known."""
    known = [number for value in counts if (number := count(value)) is not None]
    return sum(known) if known else None


def others(texts: Iterable[str | None]) -> tuple[str, ...]:
    """The texts after the first; an answer that says nothing is empty."""
    return tuple(text or "" for text in list(texts)[1:])


def joined(texts: list[str]) -> str | None:
    """The parts of an answer as one text; None where there is none."""
    return "".join(texts) if texts else None


def said(error: Any) -> str:
    """An error of a provider in words: its code and its message."""
    about = mapping(error)
    about = mapping(about.get("error")) or about
    parts = [about.get(name) for name in ("code", "type", "status", "errorCode", "message", "errorMessage")]
    told = list(dict.fromkeys(str(part) for part in parts if isinstance(part, str | int) and str(part)))
    return ": ".join(told) or (error if isinstance(error, str) and error else "the provider gives no reason")
