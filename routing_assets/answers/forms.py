"""Recognise which provider wrote a line, by its content and never by the file's name, and read its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from routing_assets.answers import anthropic, bedrock, gemini, openai
from routing_assets.answers.answer import Answer, Reply, answered, mapping
from routing_assets.foundation.errors import InvalidInput

FORMS: tuple[ModuleType, ...] = (anthropic, openai, bedrock, gemini)
"""Each has ``NAME``, ``recognise`` and ``call``; the first that recognises a line reads it."""


def form_of(record: Mapping[str, Any]) -> ModuleType | None:
    """The form of a line; None where no known provider writes such lines."""
    return next((form for form in FORMS if form.recognise(record)), None)


def read_answer(record: Mapping[str, Any]) -> Answer:
    """The answer, or the failed call, of one line.

    Raises:
        InvalidInput: the line has no known form, or no id.
    """
    form = form_of(record)
    if form is None:
        raise InvalidInput(
            f"this line is not the output of a known provider: its fields are {', '.join(map(str, list(record)[:8]))}",
            remedy=f"Known are {', '.join(form.NAME for form in FORMS)}.",
        )
    name, come = form.call(record)
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise InvalidInput(
            f"this line of {form.NAME} does not name the request that it answers",
            remedy="Give the file as the provider wrote it.",
        )
    return come if isinstance(come, Answer) else answered(str(name), read_body(come))


def read_body(body: Mapping[str, Any]) -> Reply:
    """The body of a response of any known API."""
    return next((read(body) for holds, read in _BODIES if holds(body)), Reply())


_BODIES: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Reply]], ...] = (
    (lambda body: "choices" in body, openai.read_chat),
    (lambda body: body.get("object") == "response" or isinstance(body.get("output"), list), openai.read_response),
    (lambda body: not body.keys().isdisjoint(("candidates", "usageMetadata", "promptFeedback")), gemini.read_response),
    (lambda body: isinstance(body.get("content"), list) and "stop_reason" in body, anthropic.read_message),
    (lambda body: "message" in mapping(body.get("output")), bedrock.read_converse),
    (lambda body: "results" in body, bedrock.read_titan),
    (lambda body: "generation" in body, bedrock.read_llama),
    (lambda body: not body.keys().isdisjoint(("outputs", "generations")), bedrock.read_texts),
)
