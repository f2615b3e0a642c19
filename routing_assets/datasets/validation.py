"""Checks on the columns of a raw table: each failure names file, row and column and says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.datasets.column_names import missing_column_remedy
from routing_assets.datasets.reading import RawTable
from routing_assets.foundation.errors import InvalidInput

MOST_TEXT_BYTES = 10_000_000
"""Of one cell."""


def require_columns(raw: RawTable, names: Iterable[str], *, remedy: str | None = None) -> None:
    """Raises InvalidInput naming the first of ``names`` that the table lacks, and the columns it has."""
    require_names(raw.columns.column_names, names, source=raw.source, remedy=remedy)


def require_names(present: Sequence[str], names: Iterable[str], *, source: str, remedy: str | None = None) -> None:
    """As :func:`require_columns`, of the columns ``present``."""
    for name in names:
        if name not in present:
            raise InvalidInput(
                f"the required column is missing; the file has {', '.join(map(repr, present))}",
                source=source,
                column=name,
                remedy=remedy or missing_column_remedy(present, name),
            )


def text_column(raw: RawTable, name: str) -> np.ndarray:
    """(N,) object array of str. Whole numbers are written as text ("7"), texts are left as they are ("007").

    Raises:
        InvalidInput: when a value is missing, empty or only whitespace, or the column holds neither text nor integers.
    """
    column, faults = texts_with_faults(raw, name)
    for wrong, fault in faults:
        if wrong.any():
            raise fault.at(raw.source, raw.row(wrong.argmax()))
    return text_values(column)


def text_values(column: pa.ChunkedArray) -> np.ndarray:
    """(N,) object array of str or None."""
    return column.to_numpy(zero_copy_only=False)


def texts_with_faults(raw: RawTable, name: str) -> tuple[pa.ChunkedArray, list[tuple[np.ndarray, InvalidInput]]]:
    """The column as texts; and for each kind of fault, the (N,) rows that have it: the first kind is blanks.

    Raises:
        InvalidInput: when the column holds neither text nor integers.
    """
    column = _plain(raw.columns[name])
    if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type) or _is_whole_decimal(column.type)):
        raise InvalidInput(
            f"the column holds values of type {column.type}, not text",
            source=raw.source,
            row=raw.row(0),
            column=name,
            remedy="Store it as text",
        )
    column = column.cast(pa.string())
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
    longer = f"the text has more than {MOST_TEXT_BYTES // 1_000_000} MB, more than any model reads"
    faults = [
        (blank, "the text is empty, missing or only whitespace", "Fill the cell or remove the row"),
        (pc.match_substring(column, "\0"), "the text holds a NUL character", "Save the file as UTF-8 text"),
        (pc.greater(pc.binary_length(column), MOST_TEXT_BYTES), longer, "Shorten it or remove the row"),
    ]
    return column, [
        (pc.fill_null(wrong, False).to_numpy(), InvalidInput(problem, column=name, remedy=remedy))
        for wrong, problem, remedy in faults
    ]


def _is_whole_decimal(kind: pa.DataType) -> bool:
    """Whether the type is that of whole numbers in many databases, such as NUMBER(38, 0)."""
    return pa.types.is_decimal(kind) and kind.scale == 0


def optional_text_column(raw: RawTable, name: str) -> np.ndarray | None:
    """As :func:`text_column`, or None when the table has no such column, or nothing in it."""
    return text_column(raw, name) if name in raw.columns.column_names and has_values(raw, name) else None


def has_values(raw: RawTable, name: str) -> bool:
    """Whether any cell of the column is filled; a column that is empty throughout counts as absent."""
    column = _plain(raw.columns[name])
    if pa.types.is_string(column.type):
        return bool(pc.any(pc.not_equal(pc.utf8_trim_whitespace(column), "")).as_py())
    if pa.types.is_floating(column.type):
        return not pc.all(pc.is_null(column, nan_is_null=True)).as_py()
    return bool(column.null_count < len(column))


def number_column(raw: RawTable, name: str, *, remedy: str = "Write a number, such as 1 or 0.5") -> np.ndarray:
    """(N,) float64; NaN where the cell is missing or empty. Booleans count as 0 and 1.

    Raises:
        InvalidInput: naming the first cell that is not a number.
    """
    column = _plain(raw.columns[name])
    if pa.types.is_string(column.type):
        trimmed = pc.utf8_trim_whitespace(column)
        missing = pc.is_in(pc.utf8_lower(trimmed), pa.array(NO_NUMBER))
        column = pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)
        for word, digit in (("true", "1"), ("false", "0")):
            column = pc.if_else(pc.equal(pc.utf8_lower(column), word), digit, column)
        refuse_mixed_marks(raw, name)
        column = pc.replace_substring_regex(column, DECIMAL_COMMA, r"\1\3.\2\4")
    try:
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        found = list(islice(_non_numbers(column), MOST_SHOWN + 2)) or [(0, column.type)]
        (index, value), *others = found
        if isinstance(value, str) and re.fullmatch(r"-?[1-9]\d*(,\d{3})+", value):
            remedy = "Write it without a comma: this may be thousands or a fraction"
        rows = ", ".join(str(raw.row(other)) for other, _ in others[:MOST_SHOWN])
        more = " and others" if len(others) > MOST_SHOWN else ""
        problem = f"{value!r} is not a number" + (f" (the same fault: row {rows}{more})" if others else "")
        raise InvalidInput(problem, source=raw.source, row=raw.row(index), column=name, remedy=remedy) from error


def refuse_mixed_marks(raw: RawTable, name: str) -> None:
    """Raise InvalidInput where a column of texts has decimal commas and ``1.234``, which is probably a thousand."""
    column = pc.utf8_trim_whitespace(_plain(raw.columns[name]))
    thousands = pc.fill_null(pc.match_substring_regex(column, r"^-?[1-9]\d{0,2}(\.\d{3})+$"), False)
    if pc.any(thousands).as_py() and pc.any(pc.match_substring_regex(column, DECIMAL_COMMA)).as_py():
        index = pc.index(thousands, True).as_py()
        raise InvalidInput(
            f"{column[index].as_py()!r} may be thousands or a fraction, as other cells have decimal commas",
            source=raw.source,
            row=raw.row(index),
            column=name,
            remedy="Write all numbers with one mark for decimals, and none for thousands",
        )


MOST_SHOWN = 5
"""Faults of one kind that a message names."""
NO_NUMBER = ("", "-", "--", "na", "n/a", "#n/a", "<na>", "nan", "none", "null")
"""What stands for a missing number, in any case."""
DECIMAL_COMMA = r"^(-?\d+),(\d{1,2}|\d{4,})$|^(-?0),(\d+)$"
"""A number of spreadsheets in most of Europe; three digits behind a comma may be thousands, except after a zero."""


def success_column(raw: RawTable, name: str, *, allow_missing: bool, remedy: str, scale: float = 1.0) -> np.ndarray:
    """(N,) float64 success in [0, 1]; NaN where missing, if ``allow_missing``.

    Beside numbers, the words of :data:`SUCCESS_WORDS` and percentages such as ``85%`` are read.

    Args:
        scale: the greatest success that the column can have, such as 100 for percentages without their sign.

    Raises:
        InvalidInput: naming the first cell that is missing, not a success or outside [0, 1].
    """
    values = number_column(with_numbers_for_words(raw, name), name, remedy=remedy) / scale
    if not allow_missing and np.isnan(values).any():
        raise InvalidInput(
            "success is missing",
            source=raw.source,
            row=raw.row(np.isnan(values).argmax()),
            column=name,
            remedy="Fill it, leave it out of a long table, or pass allow_missing=True (--allow-missing) for unlabelled",
        )
    outside = (values < 0) | (values > 1)
    if outside.any():
        index = outside.argmax()
        percent = scale == 1 and 1 < np.nanmax(values) <= 100 and np.nanmin(values) >= 0
        hint = ". If the column holds percentages or points, give its greatest value: --success-scale 100"
        raise InvalidInput(
            f"success is {values[index] * scale:g}, outside [0, {scale:g}]",
            source=raw.source,
            row=raw.row(index),
            column=name,
            remedy=remedy + (hint if percent else ""),
        )
    return values


SUCCESS_WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "pass", "passed", "correct", "c", "success", "resolved"), "1"),
    **dict.fromkeys(("false", "f", "no", "n", "fail", "failed", "incorrect", "i", "wrong"), "0"),
    **dict.fromkeys(("failure", "unresolved"), "0"),
    **dict.fromkeys(("wahr", "vrai", "vero", "verdadero", "verdadeiro", "waar"), "1"),
    **dict.fromkeys(("falsch", "faux", "falso", "onwaar"), "0"),
}
"""What a success or a failure is called, in any case; the last two lines are what spreadsheets write elsewhere."""


def with_numbers_for_words(raw: RawTable, name: str) -> RawTable:
    """The table with numbers where a column holds words of :data:`SUCCESS_WORDS` or percentages."""
    column = _plain(raw.columns[name])
    if not pa.types.is_string(column.type):
        return raw
    words = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    place = pc.index_in(words, pa.array(SUCCESS_WORDS))
    number = pc.take(pa.array(SUCCESS_WORDS.values()), place)
    percent = pc.match_substring_regex(words, r"^\d+([.,]\d+)?\s*%$")
    exponent = pc.replace_substring(pc.replace_substring_regex(words, r"\s*%$", "e-2"), ",", ".")
    hundredth = pc.if_else(percent, exponent, column)
    index = raw.columns.schema.get_field_index(name)
    return RawTable(raw.source, raw.columns.set_column(index, name, pc.coalesce(number, hundredth)), raw.first_row)


def amount_column(raw: RawTable, name: str, what: str = "cost in USD") -> np.ndarray:
    """(N,) float64, zero or more; NaN where missing.

    Raises:
        InvalidInput: naming the first cell that is not a number, negative or infinite.
    """
    values = number_column(raw, name)
    if (wrong := is_no_amount(values)).any():
        raise no_amount(name, what, values[wrong.argmax()]).at(raw.source, raw.row(wrong.argmax()))
    return values


def is_no_amount(values: np.ndarray) -> np.ndarray:
    """(N,) whether a number is negative or infinite."""
    return (values < 0) | np.isinf(values)


def no_amount(name: str, what: str, value: float) -> InvalidInput:
    """The error for a number that :func:`is_no_amount`."""
    return InvalidInput(
        f"the {what} is {value:g}",
        column=name,
        remedy="Write zero or a positive number, or leave the cell empty when it is unknown",
    )


def require_part(raw: RawTable, part: str, whole: str) -> None:
    """Raises InvalidInput naming the first row where there is more of ``part`` than of ``whole``, which includes it."""
    of_part, of_whole = number_column(raw, part), number_column(raw, whole)
    if (more := of_part > of_whole).any():
        row = more.argmax()
        raise InvalidInput(
            f"{part} {of_part[row]:g} is greater than {whole} {of_whole[row]:g}, of which it is a part",
            source=raw.source,
            row=raw.row(row),
            column=part,
            remedy=f"Add it to {whole}: all such tokens count there",
        )


def check_unique(raw: RawTable, name: str, values: np.ndarray) -> None:
    """Raises InvalidInput naming the first value that occurs twice, and where it occurred before; None is ignored."""
    if not len(repeated_hashes(hashes_of(values))):
        return
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        if value is not None and (before := seen.setdefault(value, index)) != index:
            raise already_there(value, raw.row(before), name=name).at(raw.source, raw.row(index))


def hashes_of(values: np.ndarray) -> np.ndarray:
    """(N,) int64, of this process: a set of the values takes ten times the memory."""
    return np.fromiter(map(hash, values), np.int64, len(values))


def repeated_hashes(hashes: np.ndarray) -> np.ndarray:
    """Those that occur more than once. Sorts the hashes where they are."""
    hashes.sort()
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def already_there(value: str, before: int, *, name: str) -> InvalidInput:
    """The error for an id that the row ``before`` has."""
    return InvalidInput(
        f"{value!r} is already in row {before}", column=name, remedy="Give each instruction an id of its own"
    )


def check_ignored(raw: RawTable, ignore_columns: Sequence[str]) -> None:
    """Raises InvalidInput when a column to be ignored is not in the table (a misspelling, most likely)."""
    require_columns(raw, ignore_columns, remedy="Correct ignore_columns")


def default_name(path: str | Path, name: str | None) -> str:
    """The dataset's name: as given, else the file's or folder's own."""
    return name or Path(path).resolve().stem


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text is text, whether stored as dictionary, large string, string view or a column of nulls."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.string())
    return column


def plain_text(raw: RawTable, name: str) -> pa.ChunkedArray:
    """The column as texts, whatever it holds."""
    return _plain(raw.columns[name]).cast(pa.string())


def _non_numbers(column: pa.ChunkedArray) -> Iterator[tuple[int, object]]:
    """Index and value of each cell that is not a number."""
    for index, value in enumerate(column.to_pylist()):
        if value is not None:
            try:
                pa.scalar(value, column.type).cast(pa.float64())
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                yield index, value


def all_columns(read: Callable[[str], np.ndarray], names: Iterable[str]) -> list[np.ndarray]:
    """What ``read`` makes of each column; one error for the faults of all.

    Raises:
        InvalidInput: the first fault, with the place of the first fault in each other column.
    """
    columns: list[np.ndarray] = []
    faults: list[InvalidInput] = []
    for name in names:
        try:
            columns.append(read(name))
        except InvalidInput as fault:
            faults.append(fault)
    if not faults:
        return columns
    first, *others = faults
    listed = "; ".join(f"row {fault.row}, column {fault.column!r}: {fault.problem}" for fault in others[:MOST_SHOWN])
    more = f"; and {len(others) - MOST_SHOWN} more columns" if len(others) > MOST_SHOWN else ""
    raise InvalidInput(
        first.problem,
        source=first.source,
        row=first.row,
        column=first.column,
        remedy=f"{first.remedy}. Faults of other columns: {listed}{more}" if others else first.remedy,
    )
