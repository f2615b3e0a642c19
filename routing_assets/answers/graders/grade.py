"""What a grade is, and what a grader must do."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Grade:
    """How right an answer is, in [0, 1], and why. ``value`` is None where the answer could not be graded."""

    value: float | None
    reason: str

    def __post_init__(self) -> None:
        if self.value is not None and not 0 <= self.value <= 1:
            raise ValueError(f"a grade is between 0 and 1, not {self.value}")


@dataclass(frozen=True, slots=True)
class Gradable:
    """One answer, and what it is graded by."""

    instruction_id: str
    model: str
    text: str
    reference: str | None = None
    instruction: str = ""


class Grader(ABC):
    """Grades answers. Subclasses are pydantic dataclasses: their fields are the settings in the policy file."""

    name: ClassVar[str]
    code_version: ClassVar[int] = 1
    """Raised with each change of the code after which an answer may get another grade."""
    uses_reference: ClassVar[bool] = True

    @abstractmethod
    def grades(self, answers: Iterable[Gradable]) -> Iterator[Grade]:
        """A grade for each answer, in order."""

    @property
    def chosen_settings(self) -> dict[str, Any]:
        """The settings, as the policy file has them."""
        return asdict(self)  # type: ignore[call-overload]  # every subclass is a dataclass

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides about a grade besides the code: the settings, unless a grader has more."""
        return self.chosen_settings

    @property
    def version(self) -> str:
        """Content hash of the grader's name, its settings and the version of its code."""
        about = json.dumps([self.name, self.code_version, self.settings], sort_keys=True)
        return hashlib.sha256(about.encode()).hexdigest()[:12]


class TextGrader(Grader):
    """Grades each answer by its text alone, or against a reference."""

    @abstractmethod
    def grade(self, text: str, reference: str) -> Grade:
        """The grade of one answer. ``reference`` is empty for graders that use none."""

    def grades(self, answers: Iterable[Gradable]) -> Iterator[Grade]:
        """A grade for each answer; those without a reference that is needed are not graded."""
        for answer in answers:
            if self.uses_reference and not answer.reference:
                yield missing_reference(answer)
            else:
                yield self.grade(answer.text, answer.reference or "")


def missing_reference(answer: Gradable) -> Grade:
    """No grade, for the batch does not say what would be right."""
    return Grade(None, f"instruction '{answer.instruction_id}' has no reference")


def references_in(reference: str) -> list[str]:
    """The right answers that a reference holds: those of a JSON list, such as ``["Lima", "Ciudad de Lima"]``, and the
    reference itself.
    """
    if reference.lstrip().startswith("["):
        try:
            listed = json.loads(reference)
        except (ValueError, RecursionError):
            return [reference]
        return [reference, *(str(item) for item in listed if isinstance(item, str | int | float))]
    return [reference]


def shortened(text: str, most: int = 60) -> str:
    """A text as a reason quotes it."""
    line = " ".join(text.split())
    return repr(line if len(line) <= most else f"{line[:most]}…")
