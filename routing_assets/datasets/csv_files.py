"""CSV files, some rows at a time: the separator and the quoting are told from the first rows."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from routing_assets.datasets.containers import open_text
from routing_assets.datasets.file_faults import Limits, no_rows, not_utf8, too_large
from routing_assets.foundation.errors import InvalidInput

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
LONGEST_ROW = 32 << 20
"""Bytes."""
_ROWS_LOOKED_AT = 100
_BYTES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Dialect:
    """How the cells of a CSV file are told apart.

    Attributes:
        separator: one of :data:`SEPARATORS`.
        escaped: whether a quote within quotes follows a backslash; else it is doubled.
        names_separator: whether the first line is Excel's ``sep=;`` and the header the second.
    """

    separator: str = ","
    escaped: bool = False
    names_separator: bool = False

    @property
    def remarks(self) -> list[str]:
        """What of it is unusual, in words."""
        separated = f"separated by {SEPARATORS[self.separator]}" if self.separator != "," else ""
        escaped = "quotes are escaped by backslashes" if self.escaped else ""
        return [said for said in (separated, escaped) if said]


def dialect_of(head: bytes) -> Dialect:
    """The dialect in which the first rows of a file have most cells that fit its header."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    first, _, rest = text.partition("\n")
    first = first.strip().strip('"').lower()
    if first.startswith("sep=") and first[4:] in SEPARATORS:
        return Dialect(first[4:], _fit(rest, first[4:], escaped=True) > _fit(rest, first[4:]), names_separator=True)
    dialects = [Dialect(separator, escaped) for escaped in (False, True) for separator in SEPARATORS]
    return max(dialects, key=lambda dialect: _fit(text, dialect.separator, escaped=dialect.escaped))


class CsvTables:
    """A CSV file as tables that follow each other; every cell is text, and the empty text stands for a missing value.

    Attributes:
        names: of its columns, in order.
        first_row: the row number of its first record: the header is row 1.

    Raises:
        InvalidInput: the file is empty, not UTF-8, malformed or beyond the limits.
        OSError: the machine could not read it, which may pass.
    """

    def __init__(self, path: Path, dialect: Dialect, limits: Limits) -> None:
        self._path, self._dialect, self._limits = path, dialect, limits
        self.first_row = 3 if dialect.names_separator else 2
        with self._readable(), open_text(path, limits.bytes) as text:
            self.names: list[str] = self._open(text, pacsv.ConvertOptions()).schema.names
        if len(self.names) > limits.columns:
            raise too_large(str(path), f"it has {len(self.names):,} columns")

    def tables(self, rows: int, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in order, at most ``rows`` of them in a table, of all or of the named columns."""
        convert = pacsv.ConvertOptions(
            column_types=dict.fromkeys(self.names, pa.string()),
            strings_can_be_null=False,
            include_columns=None if names is None else list(names),
        )
        count = 0
        with self._readable(), open_text(self._path, self._limits.bytes) as text:
            for batch in self._open(text, convert):
                count += batch.num_rows
                if count > self._limits.rows:
                    raise too_large(str(self._path), f"it has more than {self._limits.rows:,} rows")
                for start in range(0, batch.num_rows, rows):
                    yield pa.Table.from_batches([batch.slice(start, rows)])

    def _open(self, text: io.BufferedReader, convert: pacsv.ConvertOptions) -> pacsv.CSVStreamingReader:
        return pacsv.open_csv(
            pa.PythonFile(_Checked(self._path, text, self._dialect), "r"),
            # One thread: only then does Arrow number the rows it complains about.
            pacsv.ReadOptions(use_threads=False, block_size=LONGEST_ROW, skip_rows=int(self._dialect.names_separator)),
            pacsv.ParseOptions(delimiter=self._dialect.separator, newlines_in_values=True),
            convert,
        )

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                raise no_rows(str(self._path)) from error
            raise malformed(self._path, self._explained(str(error)), self._dialect) from error

    def _explained(self, reason: str) -> str:
        if "straddling" in reason:
            return f"a row has more than {LONGEST_ROW >> 20} MiB, or a double quote is never closed"
        return reason


def malformed(path: Path, reason: str, dialect: Dialect) -> InvalidInput:
    """The error for a file whose rows cannot be told apart."""
    read_as = f"; it is read as {', '.join(dialect.remarks)}" if dialect.remarks else ""
    separators = f"{SEPARATORS[dialect.separator]}, quotes or line breaks"
    return InvalidInput(
        f"this is not a well-formed CSV ({reason}){read_as}",
        source=str(path),
        remedy=f"Put texts that contain {separators} in double quotes, with quotes doubled",
    )


class _Checked(io.RawIOBase):
    """A text that is checked as it is read: for UTF-8, and that every double quote is closed. It ends with a line.

    Quotes that follow a backslash are doubled where the dialect asks for it; other backslashes stay.
    """

    def __init__(self, path: Path, text: io.BufferedReader, dialect: Dialect) -> None:
        self._path, self._text, self._dialect = path, text, dialect
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._line, self._quotes, self._held, self._ended = 1, 0, b"", False
        self._rows, self._within_quotes = b"", False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Whole rows, of a megabyte or one row: what Arrow holds follows what it is given at once."""
        while not self._ended and len(self._rows) < size:
            self._rows += self._part(min(size - len(self._rows), _BYTES_AT_ONCE))
            if end := self._end_of_rows():
                rows, self._rows = self._rows[:end], self._rows[end:]
                return rows
        rows, self._rows = self._rows, b""
        self._within_quotes ^= bool(rows.count(b'"') % 2)
        return rows

    def _end_of_rows(self) -> int:
        """Where the last row that is whole ends: at a line break that is not within quotes; 0 where none is."""
        end = len(self._rows)
        within = self._within_quotes ^ bool(self._rows.count(b'"') % 2)
        while end:
            before = self._rows.rfind(b"\n", 0, end) + 1
            within ^= bool(self._rows.count(b'"', before, end) % 2)
            if before and not within:
                self._within_quotes = False
                return before
            end = before - 1 if before else 0
        return 0

    def _part(self, size: int) -> bytes:
        block = self._text.read(size)
        self._ended = not block
        try:
            self._decoder.decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            raise not_utf8(self._path, error, self._line + error.object[: error.start].count(b"\n")) from error
        self._line += block.count(b"\n")
        if self._dialect.escaped:
            block = self._doubled(block)
        self._quotes += block.count(b'"')
        if self._ended and self._quotes % 2:
            raise malformed(self._path, "a double quote is never closed", self._dialect)
        return block + b"\n" if self._ended else block

    def _doubled(self, block: bytes) -> bytes:
        block = self._held + block
        backslashes = len(block) - len(block.rstrip(b"\\"))
        self._held = b"\\" if backslashes % 2 and not self._ended else b""
        whole = block[: len(block) - len(self._held)]
        return _ESCAPED.sub(lambda pair: b'""' if pair[0] == b'\\"' else pair[0], whole)


_ESCAPED = re.compile(rb'\\["\\]')


def _fit(text: str, separator: str, *, escaped: bool = False) -> tuple[bool, float, int]:
    """Whether the first rows can be read; which share of them has as many cells as the header; how many these are."""
    lines = io.StringIO(text, newline="")
    reader: Any = csv.reader(
        lines, delimiter=separator, doublequote=not escaped, escapechar="\\" if escaped else None, strict=True
    )
    widths: list[int] = []
    try:
        widths.extend(len(row) for row in islice(reader, _ROWS_LOOKED_AT) if row)
        whole = True
    except csv.Error as error:
        whole = "unexpected end" in str(error)  # of the bytes that were looked at
    if not widths or widths[0] < 2:
        return False, 0.0, 0
    return whole, sum(width == widths[0] for width in widths) / len(widths), widths[0]
