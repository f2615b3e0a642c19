"""Records of a batch file that cannot be routed: set aside with their reasons, while the others are routed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from routing_assets.datasets.reading import is_json_lines, json_lines, read_raw_table
from routing_assets.foundation.errors import InvalidInput

SetAside = Mapping[str, tuple[int, ...]]
"""By reason: the places of the records in their file, from 0."""

MOST_REASONS = 5
"""That a message names."""


@dataclass
class Faults:
    """What is wrong with single records of a file.

    Attributes:
        source: the file, for messages.
        first_row: the row number of its first record.
        strict: the first fault is raised instead.
    """

    source: str
    first_row: int = 1
    strict: bool = False
    _found: dict[str, tuple[InvalidInput, list[int]]] = field(default_factory=dict)
    _places: set[int] = field(default_factory=set)

    def add(self, place: int, fault: InvalidInput) -> None:
        """Set the record at a place aside; the first fault of a record counts. Raises it where faults are strict."""
        if self.strict:
            raise fault.at(self.source, self.first_row + place)
        if place not in self._places:
            self._places.add(place)
            self._found.setdefault(str(fault), (fault, []))[1].append(place)

    def add_where(self, wrong: np.ndarray, fault: InvalidInput) -> None:
        """Set aside all records where ``wrong`` (N,) says so."""
        for place in np.flatnonzero(wrong).tolist():
            self.add(place, fault)

    @property
    def set_aside(self) -> SetAside:
        """What was set aside."""
        return {reason: tuple(places) for reason, (_, places) in self._found.items()}

    def kept(self, records: int) -> np.ndarray:
        """The places of the records without fault. Raises InvalidInput with the reasons where there is none."""
        wrong = np.zeros(records, bool)
        wrong[list(self._places)] = True
        if wrong.all():
            fault, places = next(iter(self._found.values()))
            if len(self._found) == 1:
                raise fault.at(self.source, self.first_row + min(places))
            reasons = [f"row {self.first_row + p[0]}: {e}" for e, p in list(self._found.values())[:MOST_REASONS]]
            raise InvalidInput(
                f"none of its {records} records can be routed, for {len(self._found)} reasons. {' '.join(reasons)}",
                source=self.source,
            )
        return np.flatnonzero(~wrong)


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
        raw, places = read_raw_table(path), sorted(reason)
        for place, row in zip(places, raw.columns.take(places).to_pylist(), strict=True):
            yield _line(raw.row(place), reason[place], json.dumps(row, ensure_ascii=False, default=str))


def _line(row: int, reason: str, record: str) -> str:
    return f'{{"row": {row}, "reason": {json.dumps(reason, ensure_ascii=False)}, "record": {record}}}\n'
