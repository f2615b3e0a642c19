"""Grades of the answers of a batch, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.answers.graders.grade import Gradable, Grade, Grader

SCHEMA = pa.schema(
    [
        ("instruction_id", pa.string()),
        ("model", pa.string()),
        ("success", pa.float64()),
        ("reason", pa.string()),
        ("grader", pa.string()),
        ("grader_version", pa.string()),
    ]
)
"""A row for each instruction and model with an answer. ``success`` is the grade, null where the answer was not graded;
``reason`` says why. Where several answers were asked for (``n``), it is the mean of their grades.
"""
_COLUMNS = ("instruction_id", "model", "text", "other_texts")


@dataclass(frozen=True)
class Asked:
    """What an instruction asked, and what would be right."""

    instruction: str
    reference: str | None = None


def grade_answers(answers: pa.Table, asked: Mapping[str, Asked], grader: Grader) -> pa.Table:
    """Grade the newest answer of each instruction and model; failed calls have no grade.

    Args:
        answers: as ``collect`` makes it.
        asked: by instruction; answers to others are left out.
    """
    rows = _counted(answers, asked)
    given = grader.grades(_gradable(rows, asked))
    graded = [_mean([next(given) for _ in range(1 + len(row["other_texts"] or ()))]) for row in rows]
    return table_of([(row["instruction_id"], row["model"]) for row in rows], graded, grader)


def table_of(pairs: list[tuple[str, str]], grades: list[Grade], grader: Grader) -> pa.Table:
    """The table of grades of these pairs of instruction and model."""
    columns = {
        "instruction_id": [instruction_id for instruction_id, _ in pairs],
        "model": [model for _, model in pairs],
        "success": [grade.value for grade in grades],
        "reason": [grade.reason for grade in grades],
        "grader": [grader.name] * len(pairs),
        "grader_version": [grader.version] * len(pairs),
    }
    return pa.table(columns, schema=SCHEMA)


def gradable(answers: pa.Table, asked: Mapping[str, Asked]) -> list[Gradable]:
    """The texts that :func:`grade_answers` grades, in its order."""
    return list(_gradable(_counted(answers, asked), asked))


def _counted(answers: pa.Table, asked: Mapping[str, Asked]) -> list[dict[str, Any]]:
    """The answers that count, as rows."""
    counted = answers.filter(pc.and_(answers["newest"], pc.is_null(answers["error"])))
    return [row for row in counted.select(_COLUMNS).to_pylist() if row["instruction_id"] in asked and row["model"]]


def _gradable(rows: Iterable[Mapping[str, Any]], asked: Mapping[str, Asked]) -> Iterator[Gradable]:
    for row in rows:
        about = asked[row["instruction_id"]]
        for text in (row["text"], *(row["other_texts"] or ())):
            yield Gradable(row["instruction_id"], row["model"], text or "", about.reference, about.instruction)


def _mean(grades: list[Grade]) -> Grade:
    """One grade for several answers to one request: the mean; none where one of them is not graded."""
    if len(grades) == 1:
        return grades[0]
    values = [grade.value for grade in grades if grade.value is not None]
    if len(values) < len(grades):
        return next(grade for grade in grades if grade.value is None)
    return Grade(sum(values) / len(values), f"{len(values)} answers: {'; '.join(grade.reason for grade in grades)}")
