"""The result of one call, the same for all providers, and helpers that read it from their JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What the body of a response says. Unknown fields are None.

    Attributes:
        text: the text of the first answer.
        other_texts: the texts of the other answers, where the request asked for several.
        finish_reason: why the model stopped, in the provider's words.
        model: the provider's name of the model.
        refusal: why a call that succeeded has no answer: the model refused, or a filter blocked the answer.
        input_tokens: all input tokens, including those read from a cache.
        cached_tokens: how many of the input tokens were read from a cache.
        output_tokens: all output tokens, including those of reasoning.
        reasoning_tokens: how many of the output tokens were reasoning.
        surcharge_tokens: the extra price of writing to a cache, as a number of input tokens.
        latency_s: seconds.
        created: when the provider made the response, in seconds since 1970.
        response_id: the provider's id of the response.
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
    """One call and its result.

    Attributes:
        instruction_id: the id that was sent with the request.
        model: the provider's name of the model; None where the provider does not say.
        attempt: 1 for the first call of this instruction to this model.
        error: why there is no answer: the call failed, expired or was refused. None for an answer.
        created: when the response was made or, where that is unknown, when its file arrived, in seconds since 1970.

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
    """The answer that a reply gives to an instruction; a failed call where the reply is refused or empty."""
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
    """A call that failed."""
    return Answer(instruction_id, model, 1, error=error, response_id=response_id)


def mapping(value: Any) -> Mapping[str, Any]:
    """The JSON object, or an empty one where it is something else."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a JSON list; an empty list where it is something else."""
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
    """The parts of an answer as one text; None where there are no parts."""
    return "".join(texts) if texts else None


def explain(error: Any) -> str:
    """A provider's error in words: its code and its message."""
    about = mapping(error)
    about = mapping(about.get("error")) or about
    parts = [about.get(name) for name in ("code", "type", "status", "errorCode", "message", "errorMessage")]
    known = list(dict.fromkeys(str(part) for part in parts if isinstance(part, str | int) and str(part)))
    return ": ".join(known) or (error if isinstance(error, str) and error else "the provider gives no reason")
