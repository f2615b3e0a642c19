"""The columns of a batch file, portion by portion: what is wrong with its records, and the values of the others."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from routing_assets.datasets.column_names import missing_columns_remedy
from routing_assets.datasets.raw_portions import RawPortions
from routing_assets.datasets.reading import RawTable
from routing_assets.datasets.set_aside import Faults, Step, marked
from routing_assets.datasets.validation import (
    DECIMAL_COMMA,
    NO_NUMBER,
    already_there,
    has_values,
    hashes_of,
    is_no_amount,
    no_amount,
    number_column,
    refuse_mixed_marks,
    repeated_hashes,
    require_names,
    text_values,
    texts_with_faults,
)
from routing_assets.foundation.errors import InvalidInput

REQUIRED = ("instruction_id", "instruction")
TEXTS = (*REQUIRED, "task", "group", "source_file", "reference", "needs")
MAY_LACK = ("reference", "needs")
"""Texts that an instruction may be without."""
NOT_SAID = "(none)"
"""Task or group of an instruction that has none, where others have one."""
_ID = REQUIRED[0]
_UNIQUE: Step = (0, 9)


def filled_columns(raw: RawPortions, known: Sequence[str], faults: Faults, rows: int) -> tuple[list[str], int]:
    """Check a batch file: which of the known columns have values, and how many records there are.

    Ids are compared by hashes, eight bytes each.

    Args:
        faults: gets what is wrong with single records.
        rows: how many are held at a time.

    Raises:
        InvalidInput: the first fault for which the file as a whole cannot be used; where faults are strict, the first
            of any. First by column, then by the kind of fault, then by row.
    """
    require_names(raw.names, REQUIRED, source=raw.source, remedy=_missing_remedy(raw.names))
    names = [name for name in known if name in raw.names]
    filled, parsed, hashes, records = set(REQUIRED), faults.places(), array("q"), 0
    for portion in raw.read(rows):
        free = ~marked(parsed, records, len(portion))
        for column, name in enumerate(names):
            if has_values(portion, name):
                filled.add(name)
            try:
                for check, places, fault in _wrong(portion, name, strict=faults.strict):
                    new = places[free[places]]
                    free[new] = False
                    faults.add_all(new + records, fault, (column, check))
            except InvalidInput as error:
                faults.refuse(error, (column, 0))
        hashes.frombytes(_id_hashes(portion).tobytes())
        records += len(portion)
    repeated = repeated_hashes(np.frombuffer(hashes, np.int64))
    if len(repeated) and not faults.refused_before(_UNIQUE):
        _refuse_repeated(raw, repeated, faults, rows)
    faults.settle(records, [column for column, name in enumerate(names) if name in filled])
    return [name for name in names if name in filled], records


def _missing_remedy(names: Sequence[str]) -> str:
    """What to do about all columns that are missing, at once."""
    if "messages" in names:
        return "A chat in the column 'messages' is a list of objects with role and content, as such or as JSON"
    return f"{missing_columns_remedy(names, REQUIRED)}. The policy file says it by id_column, text_column or make_ids"


def column_values(raw: RawTable, name: str) -> np.ndarray:
    """(N,) the values of a known column: objects of str, or float64; those of faulty records mean nothing."""
    if name not in TEXTS:
        return _amounts(raw, name)[0]
    column, ((blank, _), *_) = texts_with_faults(_as_texts(raw, name), name)
    values = text_values(column)
    if name not in REQUIRED:
        values[blank] = None if name in MAY_LACK else NOT_SAID
    return values


def _wrong(raw: RawTable, name: str, *, strict: bool) -> Iterator[tuple[int, np.ndarray, InvalidInput]]:
    """The kind of a fault by number, the rows that have it, and the fault."""
    if name not in TEXTS:
        yield from _wrong_amounts(raw, name, strict=strict)
        return
    _, (blank, *others) = texts_with_faults(_as_texts(raw, name), name)
    if name != "needs":
        may_be_blank = name in MAY_LACK or not (name in REQUIRED or strict)
        for check, (wrong, fault) in enumerate(others if may_be_blank else [blank, *others], start=1):
            yield check, np.flatnonzero(wrong), fault


def _as_texts(raw: RawTable, name: str) -> RawTable:
    """The table with the references as texts: numbers as they are written, lists of them as JSON."""
    if name != "reference":
        return raw
    column = raw.columns[name]
    if pa.types.is_string(column.type) or pa.types.is_integer(column.type):
        return raw
    texts = [_as_text(value) for value in column.to_pylist()]
    place = raw.columns.column_names.index(name)
    return replace(raw, columns=raw.columns.set_column(place, name, pa.array(texts, pa.string())))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _wrong_amounts(raw: RawTable, name: str, *, strict: bool) -> Iterator[tuple[int, np.ndarray, InvalidInput]]:
    values, unread = _amounts(raw, name, strict=strict)
    for place in unread.tolist():
        fault = f"{raw.columns[name][place].as_py()!r} is not a number"
        yield 1, np.array([place]), InvalidInput(fault, column=name, remedy="Write a number, such as 12")
    for place in np.flatnonzero(is_no_amount(values)).tolist():
        yield 2, np.array([place]), no_amount(name, "number of tokens", values[place])


def _amounts(raw: RawTable, name: str, *, strict: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a column, (N,) float64, NaN where there is none; and the places of texts that are not numbers."""
    if not has_values(raw, name):
        return np.full(len(raw), np.nan), np.array([], np.int64)
    try:
        return number_column(raw, name), np.array([], np.int64)
    except InvalidInput:
        if strict or not pa.types.is_string(raw.columns[name].type):
            raise
    refuse_mixed_marks(raw, name)
    numbers = [_number(text) for text in raw.columns[name].to_pylist()]
    unread = np.array([number is None for number in numbers])
    return np.array([np.nan if number is None else number for number in numbers]), np.flatnonzero(unread)


def _number(text: str | None) -> float | None:
    """The number that a text says, read as :func:`number_column` reads it, or as Python does; None where it is none."""
    text = (text or "").strip()
    if text.lower() in (*NO_NUMBER, *_TRUTHS):
        return _TRUTHS.get(text.lower(), np.nan)
    try:
        return float(re.sub(DECIMAL_COMMA, r"\1\3.\2\4", text))
    except ValueError:
        return None


_TRUTHS = {"true": 1.0, "false": 0.0}


def _id_hashes(raw: RawTable) -> np.ndarray:
    try:
        column, ((blank, _), *_) = texts_with_faults(raw, _ID)
    except InvalidInput:
        return np.array([], np.int64)  # the column is refused
    return hashes_of(text_values(column)[~blank])


def _refuse_repeated(raw: RawPortions, repeated: np.ndarray, faults: Faults, rows: int) -> None:
    """Look at the ids of repeated hashes again: only these are held."""
    seen: dict[str, int] = {}
    for portion in raw.read(rows, [_ID]):
        column, ((blank, _), *_) = texts_with_faults(portion, _ID)
        values, places = text_values(column), np.flatnonzero(~blank)
        for place in places[np.isin(hashes_of(values[places]), repeated)].tolist():
            row = portion.row(place)
            if (before := seen.setdefault(values[place], row)) != row:
                faults.refuse(already_there(values[place], before, name=_ID).at(raw.source, row), _UNIQUE)
                return
