"""A stream of chunks as the parts of a batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from routing_assets.allocation.by_sweeps import PartedAllocation, PartedProblem, allocate_parts
from routing_assets.allocation.parts import Matrices
from routing_assets.foundation.errors import InvalidInput

ChunkedAllocation = PartedAllocation


def allocate_chunks(
    chunks: Iterable[tuple[Any, Any]], budget: float, *, seed: int = 0, time_limit_s: float = math.inf
) -> ChunkedAllocation:
    """Maximise expected success of a batch given as (success, cost) chunks, under one hard budget in USD.

    Calls :func:`allocate_parts` with each chunk as a part. ``chunks`` is iterated several times: pass an object whose
    ``__iter__`` starts again (reopens the file, say), not a generator. It must yield the same rows each time:
    success (M, K) in [0, 1], cost (M, K) or (K,) in USD. One more pass counts the rows.
    """
    if iter(chunks) is chunks:
        raise InvalidInput("chunks can be read only once", remedy="Pass an object whose __iter__ starts again")
    stream = _Stream(chunks)
    parts = [_Chunk(stream, number, len(success)) for number, (success, _) in enumerate(chunks)]
    return allocate_parts(PartedProblem(parts, budget), seed=seed, time_limit_s=time_limit_s)


class _Stream:
    """Chunks by number. Reads on from the last chunk, or from the start if an earlier one is wanted."""

    def __init__(self, chunks: Iterable[tuple[Any, Any]]) -> None:
        self.chunks, self.next = chunks, 0
        self.open: Iterator[tuple[Any, Any]] = iter(())

    def read(self, number: int) -> Matrices:
        if self.next != number or number == 0:
            self.open, self.next = iter(self.chunks), 0
        while True:
            success, cost = next(self.open)
            self.next += 1
            if self.next > number:
                return np.asarray(success), np.asarray(cost), None


@dataclass(frozen=True, eq=False)
class _Chunk:
    stream: _Stream
    number: int
    rows: int

    def read(self) -> Matrices:
        """Return the chunk as it was given."""
        return self.stream.read(self.number)
