"""The answers of a file, in any provider's form. A file that is half written is read as far as it goes."""

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
    """What a file holds.

    Attributes:
        answers: in the file's order.
        faults: by line, from 1, why it cannot be read.
        cut_off: whether the last line is not whole: the file was still being written.
    """

    answers: tuple[Answer, ...]
    faults: dict[int, str]
    cut_off: bool = False

    @property
    def remarks(self) -> list[str]:
        """What the sender may not expect."""
        said = []
        if self.faults:
            some = "; ".join(f"line {line}: {why}" for line, why in list(self.faults.items())[:_SHOWN])
            said.append(f"{len(self.faults)} lines cannot be read and are not used ({some})")
        if self.cut_off:
            said.append("the last line is not whole; its answer is read once the whole file comes")
        return said


def is_answer_file(path: Path) -> bool:
    """Whether the first line of a JSONL file is of a provider's batch output; the rest is not read."""
    if not is_json_lines(path):
        return False
    record = _decoded(next(iter(json_lines(path)), b""))
    return isinstance(record, dict) and form_of(record) is not None


def read_answers(path: Path, arrived: float | None = None) -> AnswerFile:
    """Read a provider's batch output.

    Args:
        path: a JSONL file.
        arrived: when it came, in seconds since 1970; it stands for the time of answers that name none.

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
        row, why = next(iter(faults.items()), (number, "no line is whole"))
        raise InvalidInput(
            why,
            source=str(path),
            row=row,
            remedy="Give a provider's batch output, once it is whole.",
        )
    return AnswerFile(tuple(answers), faults, cut_off=last)


def _decoded(line: bytes) -> Any:
    """The JSON of a line; None where it is not JSON, or holds what is no character."""
    try:
        record = json.loads(line.decode("utf-8-sig"))
        if b"\\ud" in line.lower():
            json.dumps(record, ensure_ascii=False).encode()
        return record
    except (ValueError, RecursionError):
        return None
