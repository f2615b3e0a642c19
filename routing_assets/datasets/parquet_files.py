"""Parquet files, some rows at a time: memory follows the rows, not the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from routing_assets.datasets.file_faults import Limits, not_utf8, too_large
from routing_assets.foundation.errors import InvalidInput

PANDAS_INDEX = re.compile(r"__index_level_\d+__")
"""Columns in which pandas keeps the row numbers of a filtered or sampled frame."""
MOST_BYTES_AT_ONCE = 64 << 20
"""Most bytes of a table that is yielded; a single row may have more."""
_MOST_UNPACKED_AT_ONCE = 2 << 30
_BUFFER_BYTES = 1 << 20


class ParquetTables:
    """A Parquet file as tables that follow each other.

    Attributes:
        names: of its columns, in order; without those in which pandas keeps row numbers.
        rows: how many it says it has.

    Raises:
        InvalidInput: the file is corrupt or beyond the limits.
        OSError: the machine could not read it, which may pass.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        with _readable(path), pq.ParquetFile(path) as file:
            schema, about = file.schema_arrow, file.metadata
            _check_size(path, about, limits)
        self._texts = [field.name for field in schema if pa.types.is_string(field.type)]
        self.names = [name for name in schema.names if not PANDAS_INDEX.fullmatch(name)]
        self.rows = about.num_rows
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        row_bytes = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
        self._rows_at_once = max(1, MOST_BYTES_AT_ONCE // max(row_bytes, 1))

    def tables(self, rows: int, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in order, at most ``rows`` of them in a table.

        All columns are checked for size and UTF-8 as they are read; ``names`` chooses columns of a file that was
        checked so before, which is twice as quick.
        """
        first, unpacked = 0, 0
        for table in self._packed(min(rows, self._rows_at_once), names):
            size = _unpacked_bytes(table)
            unpacked += size
            if unpacked > self._limits.bytes or size > _MOST_UNPACKED_AT_ONCE:
                size = sum(map(_unpacked_bytes, self._packed(self._rows_at_once, names)))
                raise too_large(str(self._path), f"unpacked its texts have {size / 2**30:.1f} GiB")
            for part in _cut_by_bytes(table):
                yield self._unpack(part, first)
                first += len(part)

    def _packed(self, rows: int, names: Sequence[str] | None) -> Iterator[pa.Table]:
        """As :meth:`tables`, with texts as dictionaries: a kilobyte of them can unpack to terabytes."""
        chosen, packed = (self.names, self._texts) if names is None else (list(names), [])
        with (
            _readable(self._path),
            pq.ParquetFile(self._path, read_dictionary=packed, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file,
        ):
            for batch in file.iter_batches(batch_size=rows, columns=names):
                index = [batch.schema.names.index(name) for name in chosen]
                yield pa.Table.from_batches([batch]).select(index)

    def _unpack(self, table: pa.Table, first: int) -> pa.Table:
        for index, field in enumerate(table.schema):
            if _is_packed_text(field.type):
                with _readable(self._path):
                    texts = table.column(index).cast(pa.string())
                    _check_utf8(self._path, field.name, texts, first)
                table = table.set_column(index, field.name, texts)
        return table


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the machine's fault, which may pass; where the file is at fault, Arrow gives no number
        raise InvalidInput(
            f"this is not a readable Parquet file ({error})", source=str(path), remedy="Write or copy it again"
        ) from error


def _check_size(path: Path, about: pq.FileMetaData, limits: Limits) -> None:
    size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    if about.num_rows > limits.rows:
        raise too_large(str(path), f"it has {about.num_rows:,} rows")
    if about.num_columns > limits.columns:
        raise too_large(str(path), f"it has {about.num_columns:,} columns")
    if size > limits.bytes:
        raise too_large(str(path), f"unpacked it has {size / 2**30:.1f} GiB")


def _is_packed_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))


def _unpacked_bytes(table: pa.Table) -> int:
    size = 0
    for column in table.columns:
        if _is_packed_text(column.type):
            for chunk in column.chunks:
                size += pc.sum(pc.cast(pc.binary_length(chunk.dictionary).take(chunk.indices), pa.int64())).as_py() or 0
    return size


def _cut_by_bytes(table: pa.Table) -> Iterator[pa.Table]:
    if len(table) < 2 or _unpacked_bytes(table) <= MOST_BYTES_AT_ONCE:
        yield table
    else:
        yield from _cut_by_bytes(table.slice(0, len(table) // 2))
        yield from _cut_by_bytes(table.slice(len(table) // 2))


def _check_utf8(path: Path, name: str, column: pa.ChunkedArray, first: int) -> None:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        for row, value in enumerate(column.cast(pa.binary()).to_pylist(), start=first + 1):
            try:
                (value or b"").decode()
            except UnicodeDecodeError as wrong:
                raise not_utf8(path, wrong, row, name) from error
        raise
