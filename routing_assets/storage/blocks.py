"""The rows of a table, in memory or in parts, in blocks of equal size: the size of the parts does not matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from routing_assets.storage.draft import cut
from routing_assets.storage.partitioned import PART_ROWS, PartitionedTable

if TYPE_CHECKING:  # DuckDB loads with the warehouse, not with tables in memory
    import duckdb

AnyTable: TypeAlias = pa.Table | PartitionedTable


def blocks(table: AnyTable, columns: Sequence[str], *, width: int = 1) -> Iterator[pa.Table]:
    """The named columns in row order, in blocks.

    Args:
        width: rows per instruction; a long table has one for each model.
    """
    portions = table.batches(columns) if isinstance(table, PartitionedTable) else [table.select(columns)]
    return in_blocks(portions, width=width)


def rows_of(table: AnyTable) -> int:
    """How many rows the table has."""
    return table.rows if isinstance(table, PartitionedTable) else table.num_rows


def in_blocks(portions: Iterable[pa.RecordBatch | pa.Table], *, width: int = 1) -> Iterator[pa.Table]:
    """Rows from portions of any size, in blocks of 131,072 instructions; the last block has the rest."""
    return cut(portions, PART_ROWS * width)


def view(connection: duckdb.DuckDBPyConnection, name: str, table: AnyTable) -> None:
    """Register the table under a name for queries on this connection."""
    if isinstance(table, PartitionedTable):
        table.relation(connection).create_view(name)
    else:
        connection.register(name, table)
