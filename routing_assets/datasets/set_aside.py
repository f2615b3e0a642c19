"""Records of a batch file that cannot be routed: set aside with their reasons, while the others are routed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from routing_assets.datasets.raw_portions import raw_portions
from routing_assets.datasets.reading import is_json_lines, json_lines
from routing_assets.foundation.errors import InvalidInput

SetAside = Mapping[str, tuple[int, ...]]
"""By reason: the places of the records in their file, from 0."""

MOST_REASONS = 5
"""How many reasons a message names."""
_ROWS_AT_ONCE = 16_384


Step = tuple[int, int]
"""The order in which faults are looked for: number of the column, then of the check of that column."""
_PARSING: Step = (-1, 0)


@dataclass
class _Reason:
    fault: InvalidInput
    step: Step
    places: list[np.ndarray] = field(default_factory=list)


@dataclass
class Faults:
    """What is wrong with single records of a file, eight bytes for each.

    Attributes:
        source: the file, for messages.
        first_row: the row number of its first record.
        strict: the first fault is raised instead.
    """

    source: str
    first_row: int = 1
    strict: bool = False
    _found: dict[str, _Reason] = field(default_factory=dict)
    _refused: dict[int, tuple[Step, int, InvalidInput]] = field(default_factory=dict)

    def add(self, place: int, fault: InvalidInput) -> None:
        """Set a record aside that cannot be parsed. Raises the fault where faults are strict."""
        if self.strict:
            raise fault.at(self.source, self.first_row + place)
        self._add(np.array([place]), fault, _PARSING)

    def add_all(self, places: np.ndarray, fault: InvalidInput, step: Step) -> None:
        """Set records aside, none of which is yet; where faults are strict, refuse the file instead."""
        if not len(places):
            return
        if self.strict:
            self.refuse(fault.at(self.source, self.first_row + int(places[0])), step)
        else:
            self._add(places, fault, step)

    def refuse(self, error: InvalidInput, step: Step) -> None:
        """Remember why the file as a whole cannot be used; of a column, the first reason by step and row counts."""
        found = (step, int(error.row or 0), error)
        self._refused[step[0]] = min(self._refused.get(step[0], found), found, key=lambda reason: reason[:2])

    def refused_before(self, step: Step) -> bool:
        """Whether an earlier step refused the file."""
        return any(other < step for other, _, _ in self._refused.values())

    def settle(self, records: int, columns: Collection[int]) -> None:
        """Raise InvalidInput where the file is refused for one of its columns, or each of its records is set aside."""
        if refused := [reason for column, reason in self._refused.items() if column in columns]:
            raise min(refused, key=lambda reason: reason[:2])[2]
        found = self._in_order()
        if len(self.places()) < records or not found:
            return
        if len(found) == 1:
            raise found[0].fault.at(self.source, self.first_row + _first(found[0]))
        reasons = [f"row {self.first_row + _first(one)}: {one.fault}" for one in found[:MOST_REASONS]]
        raise InvalidInput(
            f"none of its {records} records can be routed, for {len(found)} reasons. {' '.join(reasons)}",
            source=self.source,
        )

    def places(self) -> np.ndarray:
        """Of the records that are set aside, rising."""
        found = [places for reason in self._found.values() for places in reason.places]
        return np.sort(np.concatenate(found)) if found else np.array([], np.int64)

    @property
    def set_aside(self) -> SetAside:
        """What was set aside."""
        return {str(one.fault): tuple(np.concatenate(one.places).tolist()) for one in self._in_order()}

    def _add(self, places: np.ndarray, fault: InvalidInput, step: Step) -> None:
        self._found.setdefault(str(fault), _Reason(fault, step)).places.append(places)

    def _in_order(self) -> list[_Reason]:
        return sorted(self._found.values(), key=lambda reason: (reason.step, _first(reason)))


def _first(reason: _Reason) -> int:
    return int(reason.places[0][0])


def marked(places: np.ndarray, first: int, rows: int) -> np.ndarray:
    """(rows,) whether the places ``first``, ``first`` + 1, ... are among the rising ``places``."""
    wrong = np.zeros(rows, bool)
    start, end = np.searchsorted(places, [first, first + rows])
    wrong[places[start:end] - first] = True
    return wrong


def count_set_aside(set_aside: SetAside) -> int:
    """How many records are set aside."""
    return sum(map(len, set_aside.values()))


def records_set_aside(path: Path, set_aside: SetAside) -> Iterator[str]:
    """A line of JSON for each record, in the file's order: its row, the reason, and the record as it came."""
    reason = {place: reason for reason, places in set_aside.items() for place in places}
    if is_json_lines(path):
        for place, line in enumerate(json_lines(path)):
            if place in reason:
                yield _line(place + 1, reason[place], line.decode("utf-8-sig").strip())
    else:
        first, places = 0, np.sort(np.fromiter(reason, np.int64, len(reason)))
        for portion in raw_portions(path).read(_ROWS_AT_ONCE):
            here = np.flatnonzero(marked(places, first, len(portion)))
            for index, record in zip(here.tolist(), portion.columns.take(here).to_pylist(), strict=True):
                text = json.dumps(record, ensure_ascii=False, default=str)
                yield _line(portion.row(index), reason[first + index], text)
            first += len(portion)


def _line(row: int, reason: str, record: str) -> str:
    return f'{{"row": {row}, "reason": {json.dumps(reason, ensure_ascii=False)}, "record": {record}}}\n'
