"""A regular expression that the answer must match. It cannot run for ever: matching ends after a second."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, ClassVar

import regex
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from routing_assets.answers.graders.grade import Grade, TextGrader, shortened
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import FORM, Text, YesNo

SECONDS = 1.0
"""For one answer."""


def _pattern(text: str) -> str:
    try:
        regex.compile(text)
    except regex.error as error:
        raise InvalidInput(f"this is no regular expression: {error}", remedy="Correct the pattern.") from error
    return text


@dataclass(frozen=True, config=FORM)
class Regex(TextGrader):
    """The answer matches a regular expression."""

    name: ClassVar[str] = "regex"
    uses_reference: ClassVar[bool] = False

    pattern: Annotated[Text, AfterValidator(_pattern)] = Field(
        description="A regular expression; (?i) in front of it ignores case."
    )
    whole: YesNo = Field(default=False, description="The whole answer must match, not only a part of it.")

    def grade(self, text: str, reference: str) -> Grade:
        match = self._compiled.fullmatch if self.whole else self._compiled.search
        try:
            found = match(text.strip(), timeout=SECONDS)
        except TimeoutError:
            return Grade(None, f"the pattern did not come to an end within {SECONDS:g} s")
        if found is None:
            return Grade(0.0, f"{shortened(text)} does not match")
        return Grade(1.0, f"{shortened(found[0])} matches")

    @cached_property
    def _compiled(self) -> regex.Pattern[str]:
        return regex.compile(self.pattern)
