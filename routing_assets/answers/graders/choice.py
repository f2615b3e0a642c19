r"""The letter of a multiple choice, however the answer says it.

In this order counts: a letter alone, also in ``\boxed{B}`` and before what it stands for ("B) Lima"); the last that is
called the answer ("The correct answer is (B)", "Answer: **B**"); the last that is set apart ("(B)", "**B**", or "B." at
the beginning of a line); the last capital that stands alone; the last "(b)". "A" as an article and "I" count only where
they are set apart. An answer that names two ("A or B") chooses none.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, ClassVar

import regex
from pydantic import Field
from pydantic.dataclasses import dataclass

from routing_assets.answers.graders.grade import Grade, TextGrader, references_in, shortened
from routing_assets.answers.graders.number import boxed
from routing_assets.foundation.schema import FORM

_CALLED = r"""(?:answers?|ans|choice|choose|chose|option|select|pick|go\ with|réponse|respuesta|antwort|答案)\b
  (?:\s+(?:letter|choice|option|is|are|would|should|must|be|to|the|number|correct|final|best|right|one|est|es|ist))*+
  (?:\s|[:=：是为"'`*_({\[$]|\\(?:text|mathbf|textbf|mathrm)\b|\b(?:is|option|choice|letter)\b)*+"""
"""What stands between the word "answer" and its letter."""
_LONGEST = 20_000
"""Characters of an answer, from its end, that are searched: a model that repeats itself for ever costs no time."""
_ARTICLE = r"(?<=A)[ ](?!(?:or|and|because|since|as|for|due|given|if|by|with|from)\b)[a-z]"
"""After a capital A: it begins a phrase, such as "A city"."""
_APOSTROPHE = r"\w|['’]\w"
_VERB = r"\s+(?:is|are|was|were|would|can|cannot|could|does|do|has|have)\b"


@dataclass(frozen=True, config=FORM)
class Choice(TextGrader):
    """The letter that the answer chooses is that of the reference."""

    name: ClassVar[str] = "choice"

    letters: Annotated[str, Field(pattern="^[A-Z]{2,26}$")] = Field(
        default="ABCDEFGHIJ", description="The letters that may be chosen, as capitals."
    )

    def grade(self, text: str, reference: str) -> Grade:
        rights = {letter for right in references_in(reference) if (letter := self._letter(right))}
        if not rights:
            return Grade(None, f"the reference {shortened(reference)} is none of the letters {self.letters}")
        chosen = self.chosen(text)
        if chosen is None:
            return Grade(0.0, f"the answer does not choose one letter: {shortened(text)}")
        return Grade(float(chosen in rights), f"{chosen} is {'' if chosen in rights else 'not '}the reference")

    def chosen(self, text: str) -> str | None:
        """The letter that an answer chooses, as a capital; None where it chooses none, or several at once."""
        text = text[-_LONGEST:]
        for whole in (boxed(text), text):
            if whole is not None and (letter := self._letter(whole)):
                return letter
        for place in self._places:
            if found := list(place.finditer(text)):
                return None if found[-1]["more"] else found[-1]["letter"].upper()
        return None

    def _letter(self, text: str) -> str | None:
        found = self._only.fullmatch(text.strip())
        return found["letter"].upper() if found else None

    @cached_property
    def _only(self) -> regex.Pattern[str]:
        """A text that is a letter, or a letter and what it stands for."""
        either = f"(?P<letter>[{self.letters}{self.letters.lower()}])"
        return regex.compile(
            rf"(?:\\(?:text|mathbf|textbf|mathrm)\s*\{{|[\W_])*{either}[\W_]*|[\W_]*{either}[*_]*\s*[.):：][^\n]{{0,300}}"
        )

    @cached_property
    def _places(self) -> tuple[regex.Pattern[str], ...]:
        capital, small = f"(?P<letter>[{self.letters}])", f"(?P<letter>[{self.letters.lower()}])"
        # A second letter that is chosen as well.
        second = rf"[(\[*_]*[{self.letters}](?!{_APOSTROPHE}|{_VERB})"
        more = rf"(?P<more>[)\]*_]*(?:\s+(?:or|and)\s+|\s*[/&]\s*){second}|[)\]*_]*,\s*{second}[)\]*_.]*\s*$)?"
        apart = rf"""\({capital}\) | \[{capital}\] | \*\*\(?{capital}(?:[.):]{{0,2}}\*\*|[.):]{{1,2}}\s)
            | ^[ \t>*_-]*{capital}[.):](?=[\s*]|$)"""
        return (
            # A small letter counts only where nothing but punctuation follows: "the answer is a city".
            regex.compile(
                rf"(?i:{_CALLED})(?:{capital}(?!{_APOSTROPHE}|{_ARTICLE})|{small}(?=[\s*_`]*(?:[)\]}}.,:;!\"]|$))){more}",
                regex.MULTILINE | regex.VERBOSE,
            ),
            regex.compile(f"(?:{apart}){more}", regex.MULTILINE | regex.VERBOSE),
            regex.compile(rf"(?<![\w'’.-]){capital}(?!-|{_APOSTROPHE}|{_ARTICLE})(?<!I){more}", regex.MULTILINE),
            regex.compile(rf"\({small}\){more}", regex.MULTILINE),
        )
