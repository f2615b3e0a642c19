"""The common form of a request: it can express what the forms of several providers can, not what only one can."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
AUDIO = ("audio/wav", "audio/mp3")
PDF = "application/pdf"
MOST_STOPS = 4
"""The greatest number of stop sequences that every provider takes; Anthropic takes more."""
_DATA_URI = re.compile(r"data:([\w.+/-]+);base64,(.*)", re.DOTALL)


class CannotTranslate(Exception):
    """The request asks something that the common form cannot express.

    Attributes:
        what: one word that names it, such as a field of the body.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Text:
    """A text that is not blank."""

    text: str


@dataclass(frozen=True)
class Media:
    """An image, a sound or a PDF: its bytes in base64, or a link."""

    media_type: str
    data: str | None = None
    link: str | None = None

    @property
    def kind(self) -> str:
        """One of ``image``, ``audio`` and ``document``."""
        return "document" if self.media_type == PDF else self.media_type.split("/")[0]


@dataclass(frozen=True)
class ToolCall:
    """A call that the model made in an earlier turn."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class ToolResult:
    """The result of such a call."""

    id: str
    name: str
    text: str
    failed: bool = False


Part = Text | Media | ToolCall | ToolResult


@dataclass(frozen=True)
class Message:
    """One turn. Results of tools come first in it, and calls of tools last."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Tool:
    """A function that the model may call; ``schema`` is the JSON schema of its arguments."""

    name: str
    description: str | None = None
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ToolChoice:
    """Whether tools are called: ``auto``, ``none``, ``any`` (one must be), or ``tool`` (the named one must be)."""

    kind: str
    name: str | None = None


@dataclass(frozen=True)
class AnswerFormat:
    """The answer must be JSON, and follow ``schema`` if there is one. ``strict``: the provider enforces the schema."""

    schema: Mapping[str, Any] | None = None
    name: str = "answer"
    strict: bool = False


@dataclass(frozen=True)
class CommonRequest:
    """A request in the common form.

    Attributes:
        messages: the turns, in order; the roles alternate.
        system: the system's texts.
        settings: by common name: ``max_tokens, temperature, top_p, top_k, stop, seed, frequency_penalty,
            presence_penalty, n``.
        left_out: settings that do not change what is asked, and that only the request's own provider knows.
    """

    messages: tuple[Message, ...]
    system: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    answer: AnswerFormat | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    @property
    def features(self) -> frozenset[str]:
        """What a form must be able to express for this request, beyond texts and settings that may be left out."""
        parts = [part for message in self.messages for part in message.parts]
        return frozenset((*_of_turns(self.messages), *_of_parts(parts), *self._of_answer(), *self._of_settings()))

    def with_a_turn(self) -> CommonRequest:
        """The request with at least one turn, which most forms need: the user then says the system's text."""
        if self.messages:
            return self
        first = Message("user", tuple(map(Text, self.system)))
        return replace(self, messages=(first,), system=(), left_out=self.left_out | {"the system's role"})

    def _of_answer(self) -> Iterator[str]:
        if self.tools:
            yield "tools"
        if self.tool_choice == ToolChoice("none"):
            yield "tool_choice_none"
        if self.answer is None:
            return
        yield "response_format"
        if self.answer.schema is not None:
            yield "json_schema" if self.answer.strict else "loose_schema"
        else:
            texts = [*self.system, *(p.text for m in self.messages for p in m.parts if isinstance(p, Text))]
            yield "json_object" if any("json" in text.lower() for text in texts) else "json_unsaid"

    def _of_settings(self) -> Iterator[str]:
        if self.settings.get("n", 1) > 1:
            yield "n"
        if self.settings.get("max_tokens") is not None:
            yield "max_tokens"
        if stops := self.settings.get("stop"):
            yield "stop"
            if len(stops) > MOST_STOPS:
                yield "many_stops"
            if not all(stop.strip() for stop in stops):
                yield "blank_stop"


def _of_turns(messages: Sequence[Message]) -> Iterator[str]:
    if messages and messages[0].role == "assistant":
        yield "assistant_first"
    if messages and messages[-1].role == "assistant":
        yield "assistant_last"


def _of_parts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Media):
            yield f"{part.kind}_{'link' if part.data is None else 'data'}"
            if part.media_type == "image/gif":
                yield "gif"
        elif isinstance(part, ToolResult) and part.failed:
            yield "failed_result"


def conversation(turns: Iterable[tuple[Literal["user", "assistant"], Iterable[Part]]]) -> tuple[Message, ...]:
    """The turns as messages: consecutive turns of one role are joined, and blank texts are left out."""
    messages = []
    for role, group in groupby(turns, key=lambda turn: turn[0]):
        parts = [p for _, own in group for p in own if not isinstance(p, Text) or p.text.strip()]
        if parts:
            messages.append((role, parts))
    return tuple(
        Message(role, tuple(sorted((p for _, parts in same for p in parts), key=_place)))
        for role, same in groupby(messages, key=lambda turn: turn[0])
    )


def _place(part: Part) -> int:
    return {ToolResult: 0, ToolCall: 2}.get(type(part), 1)


def media(media_type: str, *, data: str | None = None, link: str | None = None) -> Media:
    """An attachment. Raises CannotTranslate for a type that not every form takes."""
    media_type = {"image/jpg": "image/jpeg", "audio/mpeg": "audio/mp3"}.get(media_type, media_type)
    if media_type not in (*IMAGES, *AUDIO, PDF):
        raise CannotTranslate(media_type.split("/")[0] or "attachment")
    return Media(media_type, data, link)


def linked(url: str, media_type: str) -> Media:
    """The attachment that a URL holds (``data:``) or links to. For a link, ``media_type`` is a guess."""
    if url.startswith("data:"):
        found = _DATA_URI.fullmatch(url)
        if found is None:
            raise CannotTranslate("data_uri")
        return media(found[1], data=found[2])
    return Media(media_type, link=url)
