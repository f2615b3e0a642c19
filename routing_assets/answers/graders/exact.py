"""Exact text: the answer is the reference, but for white space around it."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from routing_assets.answers.graders.grade import Grade, TextGrader, references_in, shortened
from routing_assets.foundation.schema import FORM


@dataclass(frozen=True, config=FORM)
class Exact(TextGrader):
    """The answer equals the reference."""

    name: ClassVar[str] = "exact"

    def grade(self, text: str, reference: str) -> Grade:
        if text.strip() in (right.strip() for right in references_in(reference)):
            return Grade(1.0, "equal to the reference")
        return Grade(0.0, f"{shortened(text)} is not {shortened(reference)}")
