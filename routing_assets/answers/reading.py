"""Read a provider's output file. Of a file that is still being written, the complete lines are read."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from routing_assets.answers.answer import Answer
from routing_assets.answers.forms import form_of, read_answer
from routing_assets.datasets.reading import is_json_lines, json_lines
from routing_assets.foundation.errors import InvalidInput

_SHOWN = 3


@dataclass(frozen=True)
class AnswerFile:
    """The answers of one file.

    Attributes:
        answers: in the file's order.
        faults: by line number, from 1, why the line cannot be read.
        cut_off: whether the last line is incomplete, because the file was still being written.
    """

    answers: tuple[Answer, ...]
    faults: dict[int, str]
    cut_off: bool = False

    @property
    def remarks(self) -> list[str]:
        """What was not read, and why, one sentence each."""
        remarks = []
        if self.faults:
            some = "; ".join(f"line {line}: {why}" for line, why in list(self.faults.items())[:_SHOWN])
            remarks.append(f"{len(self.faults)} lines cannot be read and are not used ({some})")
        if self.cut_off:
            remarks.append("the last line is incomplete; its answer is read once the complete file arrives")
        return remarks


def is_answer_file(path: Path) -> bool:
    """Whether a JSONL file is a provider's batch output, judged by its first line; the rest is not read."""
    if not is_json_lines(path):
        return False
    record = _decoded(next(iter(json_lines(path)), b""))
    return isinstance(record, dict) and form_of(record) is not None


def read_answers(path: Path, arrived: float | None = None) -> AnswerFile:
    """Read a provider's batch output.

    Args:
        path: a JSONL file.
        arrived: when the file arrived, in seconds since 1970: the time of answers that state none.

    Raises:
        InvalidInput: no line can be read.
    """
    answers: list[Answer] = []
    faults: dict[int, str] = {}
    number = 0
    for number, line in enumerate(json_lines(path), start=1):
        record = _decoded(line)
        try:
            if not isinstance(record, dict):
                raise InvalidInput("this is not a JSON object")
            answer = read_answer(record)
        except InvalidInput as fault:
            faults[number] = fault.problem
        else:
            answers.append(answer if answer.created is not None else replace(answer, created=arrived))
    last = faults.get(number) == "this is not a JSON object"
    if last:
        del faults[number]
    if not answers:
        row, why = next(iter(faults.items()), (number, "no line is complete"))
        raise InvalidInput(
            why,
            source=str(path),
            row=row,
            remedy="Give a provider's batch output, once it is complete.",
        )
    return AnswerFile(tuple(answers), faults, cut_off=last)


def _decoded(line: bytes) -> Any:
    """The JSON of a line; None where it is not JSON, or where a string in it is not valid Unicode."""
    try:
        record = json.loads(line.decode("utf-8-sig"))
        if b"\\ud" in line.lower():
            json.dumps(record, ensure_ascii=False).encode()
        return record
    except (ValueError, RecursionError):
        return None
