"""Read the records of a table one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from routing_assets.datasets.reading import is_json_lines, open_tables, read_json_lines

ROWS_AT_ONCE = 1_000


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file, in order.

    Raises:
        InvalidInput: the file cannot be read.
    """
    if is_json_lines(path):
        yield from read_json_lines(path)
        return
    for table in open_tables(path)[0].tables(ROWS_AT_ONCE):
        yield from table.to_pylist()
