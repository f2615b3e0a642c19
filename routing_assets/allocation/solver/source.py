"""Where the solver reads its rows: parts that are swept one by one, in memory or on disk, on any engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from routing_assets.engine import Engine, LocalEngine

MOST_PAIRS = 1 << 24
"""(Row, column) pairs that one process holds at a time, whatever the size of the batch: 128 MiB in float32."""

_SAMPLE_ROWS = 1 << 15
_LARGE_SAMPLE_ROWS = 1 << 18
_LARGE = 1 << 24  # rows

Result = TypeVar("Result")
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""(value, weight, allowed) of M rows: (M, K) floats, where weight may be (K,), and (M, K) bool or None."""


class Readable(Protocol):
    """A reference to some rows."""

    @property
    def rows(self) -> int: ...

    def read(self) -> Arrays: ...


@dataclass(frozen=True, eq=False)
class Located:
    """A part and its place in the whole."""

    part: Readable
    number: int
    first: int
    """Row number, in the whole, of its first row."""
    sampled: np.ndarray
    """Numbers, within the part, of the rows that belong to the sample."""
    given: Any = None
    """An argument of the sweep that is meant for this part alone."""

    def read(self) -> Arrays:
        """Value and weight (M, K), and the allowed pairs or None."""
        value, weight, allowed = self.part.read()
        return value, np.broadcast_to(weight, value.shape), allowed


class Source:
    """All rows of a problem in parts, with a seeded sample of them.

    The sample depends on the number of rows and the seed alone, not on how the rows are divided into parts.
    """

    def __init__(
        self,
        parts: Sequence[Readable],
        columns: int,
        seed: int = 0,
        *,
        names: Sequence[str] = (),
        engine: Engine | None = None,
        whole: Arrays | None = None,
    ) -> None:
        self.engine: Engine = LocalEngine() if engine is None else engine
        self.names, self._whole = tuple(names), whole
        self.columns, self.seed, self.passes = columns, seed, 0
        self.rows = sum(part.rows for part in parts)
        self.located = _located(parts, sampled_rows(self.rows, seed))
        self._sample: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None = None

    @property
    def most_rows(self) -> int:
        """How many rows, with all their pairs, the driver may hold."""
        return max(1, MOST_PAIRS // self.columns)

    def sweep(self, function: Callable[..., Result], *arguments: Any, given: Sequence[Any] = ()) -> Iterator[Result]:
        """Yield ``function(located, *arguments)`` for each part, in order; ``given`` has one item per part."""
        self.passes += 1
        parts: Sequence[Located] = self.located
        if given:
            parts = [
                Located(at.part, at.number, at.first, at.sampled, own) for at, own in zip(parts, given, strict=True)
            ]
        return self.engine.map(function, parts, *arguments)

    @property
    def sample(self) -> Arrays:
        """Sampled rows: value and weight (M, K) in float64, and the allowed pairs or None. Empty in a small problem."""
        if self._sample is None:
            self.keep_sample(list(self.sweep(sample_of)))
        assert self._sample is not None  # noqa: S101 - just kept
        return self._sample

    def keep_sample(self, parts: Sequence[Arrays]) -> None:
        """Keep the sample, given as the sampled rows of each part."""
        self._sample = joined(parts)

    def gathered(self) -> Arrays:
        """All rows at once; only for at most ``most_rows``."""
        return self._whole or joined(list(self.sweep(Located.read)))


def sampled_rows(rows: int, seed: int) -> np.ndarray:
    """Increasing row numbers of the sample; none for a batch that is hardly larger than a sample would be."""
    if rows <= 2 * _SAMPLE_ROWS:
        return np.empty(0, np.int64)
    size = _SAMPLE_ROWS if rows <= _LARGE else _LARGE_SAMPLE_ROWS
    return np.sort(np.random.default_rng(seed).choice(rows, size, replace=False))


def sample_of(located: Located) -> Arrays:
    """The sampled rows of a part, in float64."""
    value, weight, allowed = located.read()
    rows = located.sampled
    sampled = value[rows].astype(np.float64), weight[rows].astype(np.float64)
    return *sampled, None if allowed is None else allowed[rows]


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Rows of several parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    allowed = None
    if any(part[2] is not None for part in parts):
        allowed = np.concatenate([np.ones(v.shape, bool) if a is None else a for v, _, a in parts])
    return np.concatenate([v for v, _, _ in parts]), np.concatenate([w for _, w, _ in parts]), allowed


def masked(value: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
    """Values with -inf where a pair is not allowed."""
    return value if allowed is None else np.where(allowed, value, np.array(-np.inf, value.dtype))


def _located(parts: Sequence[Readable], sampled: np.ndarray) -> tuple[Located, ...]:
    found, first = [], 0
    for number, part in enumerate(parts):
        start, end = np.searchsorted(sampled, (first, first + part.rows))
        found.append(Located(part, number, first, sampled[start:end] - first))
        first += part.rows
    return tuple(found)
