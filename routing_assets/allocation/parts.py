"""A batch in parts: each part refers to some rows, which a worker reads when it needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from routing_assets.foundation.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

PART_ROWS = 1 << 17
"""Usual rows of a part: with 16 models 8 MiB per float32 matrix."""

Matrices = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Of M rows: success (M, K); cost (M, K) or, the same for all rows, (K,); and the allowed pairs, (M, K) bool, or
None if all are."""


class Part(Protocol):
    """Some rows of a batch. Picklable; for rows in a file, only a path is pickled."""

    @property
    def rows(self) -> int:
        """Number of rows, known without reading them."""
        ...

    def read(self) -> Matrices:
        """Return the rows; the same ones each time."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayPart:
    """Rows in memory."""

    success: np.ndarray
    cost: np.ndarray
    allowed: np.ndarray | None = None

    @property
    def rows(self) -> int:
        return len(self.success)

    def read(self) -> Matrices:
        """Return the arrays, not copies."""
        return self.success, self.cost, self.allowed


def slices(success: np.ndarray, cost: np.ndarray, allowed: np.ndarray | None = None) -> list[ArrayPart]:
    """Cut whole matrices into parts, without copying them."""
    rows = [slice(start, start + PART_ROWS) for start in range(0, len(success), PART_ROWS)]
    return [
        ArrayPart(success[at], cost if cost.ndim == 1 else cost[at], None if allowed is None else allowed[at])
        for at in rows
    ]


class TablePart(Protocol):
    """Some rows of a table in a file."""

    @property
    def rows(self) -> int: ...

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows; all columns or those that are named."""
        ...


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file as a part of a table."""

    path: str
    rows: int

    @classmethod
    def at(cls, path: Path | str) -> ParquetFile:
        """Return the file at a path; its number of rows is read from its footer."""
        import pyarrow.parquet as pq

        return cls(str(path), pq.read_metadata(path).num_rows)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows; all columns or those that are named."""
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.path, memory_map=True).read(columns=columns, use_threads=False)


@dataclass(frozen=True)
class WidePart:
    """The same rows of two or three tables, each with one ``fixed_size_list`` column of K entries per row.

    ``cost`` may instead be one price per call for each model. ``allowed`` holds booleans.
    """

    success: TablePart
    cost: TablePart | tuple[float, ...]
    allowed: TablePart | None = None
    success_column: str = "success"
    cost_column: str = "cost"
    allowed_column: str = "allowed"

    @property
    def rows(self) -> int:
        return self.success.rows

    def read(self) -> Matrices:
        """Return the matrices. Raises InvalidInput if the tables differ in shape or an entry is null."""
        success = _matrix(self.success, self.success_column)
        cost = np.asarray(self.cost) if isinstance(self.cost, tuple) else _matrix(self.cost, self.cost_column)
        allowed = None if self.allowed is None else _matrix(self.allowed, self.allowed_column)
        for name, other in ((self.cost_column, cost), (self.allowed_column, allowed)):
            if other is not None and other.ndim == 2 and other.shape != success.shape:
                raise InvalidInput(f"{name} has shape {other.shape}, and {self.success_column} {success.shape}")
        return success, cost, allowed


def _matrix(part: TablePart, name: str) -> np.ndarray:
    import pyarrow as pa

    column = part.read([name])[name].combine_chunks()
    if not pa.types.is_fixed_size_list(column.type):
        raise InvalidInput(
            f"column '{name}' has type {column.type}, and must be a fixed_size_list with one entry per model"
        )
    entries = column.flatten()
    if column.null_count or entries.null_count:
        raise InvalidInput(f"column '{name}' has nulls", remedy="Give every pair a number")
    return entries.to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
