"""A batch file in portions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from routing_assets.datasets.batch import BatchInstructions, load_batch
from routing_assets.datasets.set_aside import SetAside

PORTION_ROWS = 16_384


@dataclass(frozen=True, eq=False)
class BatchPortions:
    """A batch in portions."""

    batch: BatchInstructions
    rows: int

    @property
    def instructions(self) -> int:
        """How many can be routed."""
        return len(self.batch)

    @property
    def set_aside(self) -> SetAside:
        """Of the whole file."""
        return self.batch.set_aside

    def __iter__(self) -> Iterator[BatchInstructions]:
        for start in range(0, len(self.batch), self.rows):
            yield self.batch.take(slice(start, start + self.rows))

    def read(self) -> BatchInstructions:
        """The whole batch, in memory."""
        return self.batch


@contextmanager
def open_batch(path: str | Path, *, strict: bool = False, rows: int = PORTION_ROWS) -> Iterator[BatchPortions]:
    """Reads a batch file in portions."""
    yield BatchPortions(load_batch(path, strict=strict), rows)
