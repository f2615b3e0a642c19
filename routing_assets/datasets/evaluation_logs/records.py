"""Read the records of a table one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from routing_assets.datasets.reading import is_json_lines, read_json_lines, read_raw_table

ROWS_AT_ONCE = 1_000


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a Parquet, CSV or JSONL file, in order.

    Raises:
        InvalidInput: the file cannot be read.
    """
    if is_json_lines(path):
        yield from read_json_lines(path)
        return
    for block in read_raw_table(path).columns.to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from block.to_pylist()
