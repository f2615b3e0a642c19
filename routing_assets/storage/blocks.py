"""The rows of a table, whether it is held or in parts, in blocks that do not depend on how it is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import duckdb
import pyarrow as pa

from routing_assets.storage.draft import cut
from routing_assets.storage.partitioned import PART_ROWS, PartitionedTable

AnyTable: TypeAlias = pa.Table | PartitionedTable


def blocks(table: AnyTable, columns: Sequence[str], *, width: int = 1) -> Iterator[pa.Table]:
    """The named columns in row order, in blocks.

    Args:
        width: rows of the table per instruction.
    """
    portions = table.batches(columns) if isinstance(table, PartitionedTable) else [table.select(columns)]
    return in_blocks(portions, width=width)


def rows_of(table: AnyTable) -> int:
    """How many rows the table has."""
    return table.rows if isinstance(table, PartitionedTable) else table.num_rows


def in_blocks(portions: Iterable[pa.RecordBatch | pa.Table], *, width: int = 1) -> Iterator[pa.Table]:
    """Rows that come in any portions, 131,072 instructions at a time; the last block has what is left."""
    return cut(portions, PART_ROWS * width)


def view(connection: duckdb.DuckDBPyConnection, name: str, table: AnyTable) -> None:
    """Make the table known to queries on this connection by a name."""
    if isinstance(table, PartitionedTable):
        table.relation(connection).create_view(name)
    else:
        connection.register(name, table)
