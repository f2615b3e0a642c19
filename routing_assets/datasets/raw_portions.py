"""A Parquet, CSV or JSONL file as raw tables that follow each other, all of the same columns and types.

A Parquet file is read again for each pass. A CSV file is parsed once and its text held, since a quote may join any
two of its lines. The records of a JSONL file are parsed once and wait, as Arrow, in a temporary file: what type a
column has is known only at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import pyarrow as pa

from routing_assets.datasets.file_faults import no_rows
from routing_assets.datasets.parquet_files import MOST_BYTES_AT_ONCE, ParquetTables
from routing_assets.datasets.reading import (
    RawTable,
    as_type,
    common_type,
    json_chunks,
    limits,
    read_raw_table,
    require_distinct,
    require_file,
)

Tables = Callable[[int, Sequence[str] | None], Iterator[pa.Table]]
"""Tables of about so many rows, of all or of the named columns."""
_BYTES_IN_MEMORY = 8 << 20


@dataclass(frozen=True, eq=False)
class RawPortions:
    """A file of which only some rows are held; it may be read more than once.

    Attributes:
        source: The path as the user gave it, for messages.
        names: Of its columns, in order.
        tables: Its rows.
        first_row: Row number of the first record.
    """

    source: str
    names: list[str]
    tables: Tables
    first_row: int = 1

    def read(self, rows: int, names: Sequence[str] | None = None) -> Iterator[RawTable]:
        """The rows in order, ``rows`` of them at a time, or fewer where they are long."""
        first = self.first_row
        for table in _regrouped(self.tables(rows, names), rows):
            yield RawTable(self.source, table, first)
            first += len(table)


def raw_portions(path: Path) -> RawPortions:
    """The portions of a Parquet or CSV file. Raises InvalidInput and OSError as :func:`read_raw_table` does."""
    if path.suffix.lower() in (".parquet", ".pq"):
        require_file(path)
        file = ParquetTables(path, limits())
        require_distinct(file.names, str(path))
        if file.rows == 0:
            raise no_rows(str(path))
        return RawPortions(str(path), file.names, file.tables)
    raw = read_raw_table(path)
    return RawPortions(
        raw.source,
        raw.columns.column_names,
        lambda rows, names: iter([raw.columns if names is None else raw.columns.select(names)]),
        raw.first_row,
    )


@contextmanager
def json_portions(records: Iterable[dict[str, Any]], *, source: str, wanted: Container[str]) -> Iterator[RawPortions]:
    """The portions of JSON objects; see :func:`records_to_table` for their types, and for ``wanted``."""
    names: dict[str, None] = {}
    types: dict[str, set[pa.DataType]] = {}
    chunks: list[tuple[int, int]] = []
    with SpooledTemporaryFile(_BYTES_IN_MEMORY) as file:
        for rows, arrays in json_chunks(records, names, source=source, wanted=wanted):
            chunks.append((rows, file.tell()))
            for name, array in arrays.items():
                types.setdefault(name, set()).add(array.type)
            table = pa.table(arrays)
            with pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)
        kinds = {name: common_type(types[name]) for name in names}

        def tables(_: int, chosen: Sequence[str] | None) -> Iterator[pa.Table]:
            for rows, start in chunks:
                file.seek(start)
                with pa.ipc.open_stream(file) as stream:
                    yield _typed(stream.read_all(), rows, {name: kinds[name] for name in chosen or names})

        yield RawPortions(source, list(names), tables)


def _typed(chunk: pa.Table, rows: int, kinds: dict[str, pa.DataType]) -> pa.Table:
    present = set(chunk.column_names)
    return pa.table(
        {
            name: as_type(chunk[name].combine_chunks(), kind) if name in present else pa.nulls(rows, kind)
            for name, kind in kinds.items()
        }
    )


def _regrouped(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    count = size = 0
    for table in tables:
        while len(table):
            piece = table.slice(0, rows - count)
            table = table.slice(len(piece))
            held.append(piece)
            count, size = count + len(piece), size + piece.nbytes
            if count == rows or size >= MOST_BYTES_AT_ONCE:
                yield pa.concat_tables(held)
                held, count, size = [], 0, 0
    if held:
        yield pa.concat_tables(held)
