"""The rows of a table, whether it is held or in parts, in blocks that do not depend on how it is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from routing_assets.storage.draft import cut
from routing_assets.storage.partitioned import PART_ROWS, PartitionedTable

AnyTable = pa.Table | PartitionedTable


def blocks(table: AnyTable, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The named columns in row order, ``PART_ROWS`` rows at a time; the last block has what is left, none is empty."""
    held = not isinstance(table, PartitionedTable)
    return cut([table.select(columns)] if held else table.batches(columns), PART_ROWS)
