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
"""Of a table that is yielded, about; a single row may have more."""
_BUFFER_BYTES = 1 << 20
_ROWS_OF_SHARED_TEXTS = 16_384


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
            texts = [field.name for field in schema if _is_text(field.type)]
            groups = [about.row_group(i) for i in range(about.num_row_groups)]
            row_bytes = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
            rows = min(_ROWS_OF_SHARED_TEXTS, _rows_of(row_bytes))
            large = [i for i, group in enumerate(groups) if _may_unpack(group)]
            shared = [[_shared_texts(path, name, i, rows) for name in texts] for i in large]
        _refuse_beyond(sum(total for group in shared for _, total in group), path, limits)
        longest = max((sum(longest for longest, _ in group) for group in shared), default=0)
        self.names = [name for name in schema.names if not PANDAS_INDEX.fullmatch(name)]
        self.rows = about.num_rows
        self._rows_at_once = _rows_of(max(row_bytes, longest))

    def tables(self, rows: int, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in order, at most ``rows`` of them in a table, and fewer where they are long.

        Texts are checked for size and UTF-8 as they are read; ``names`` chooses columns of a file that was checked so
        before.
        """
        first, unpacked = 0, 0
        with _readable(self._path), pq.ParquetFile(self._path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            for batch in file.iter_batches(batch_size=min(rows, self._rows_at_once), columns=names):
                table = pa.Table.from_batches([batch]).select(self.names if names is None else names)
                for index, field in enumerate(table.schema):
                    if _is_text(field.type):
                        texts = table.column(index).cast(pa.string())
                        unpacked += texts.nbytes
                        if names is None:
                            _check_utf8(self._path, field.name, texts, first)
                        table = table.set_column(index, field.name, texts)
                _refuse_beyond(unpacked, self._path, self._limits)
                yield table
                first += len(table)


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


def _rows_of(row_bytes: int) -> int:
    """How many rows of so many bytes a table has."""
    return max(1, MOST_BYTES_AT_ONCE // max(row_bytes, 1))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)))


def _may_unpack(group: pq.RowGroupMetaData) -> bool:
    """Whether rows that share texts may be larger than a table should be."""
    return bool(group.num_rows * group.total_byte_size > MOST_BYTES_AT_ONCE)


def _shared_texts(path: Path, name: str, group: int, rows: int) -> tuple[int, int]:
    """Bytes of the longest text that rows of a group may share, and of all that do: a kilobyte can stand for terabytes.

    Rows that share texts come first. The others have theirs in the file, whose size was checked.
    """
    longest = total = known = 0
    with pq.ParquetFile(path, read_dictionary=[name], pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=[name]):
            texts = batch.column(name)
            length = pc.binary_length(texts.dictionary).cast(pa.int64())
            longest = max(longest, pc.max(length).as_py() or 0)
            total += pc.sum(length.take(texts.indices)).as_py() or 0
            if known and len(length) > known:
                break
            known = len(length)
    return longest, total


def _refuse_beyond(unpacked: int, path: Path, limits: Limits) -> None:
    if unpacked > limits.bytes:
        raise too_large(str(path), f"unpacked its texts have {unpacked / 2**30:.1f} GiB")


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
