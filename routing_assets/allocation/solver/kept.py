"""Rows collected from all parts up to a limit: a random sample where there are more."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import numpy as np

from routing_assets.allocation.solver.order import random_keys

_SEED = 0xB10C_5EED_0F_0DD  # no user's seed: else a sample would be the first rows of that seed's random order


class Rows(Protocol):
    """Some rows, by number."""

    @property
    def row(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def at(self, rows: np.ndarray) -> Rows: ...


R = TypeVar("R", bound=Rows)


class Kept(Generic[R]):
    """At most ``most`` rows, added part by part: all of them, or where there are more, those with the smallest keys.

    Keys are random, by row number, so the sample does not depend on how the rows are divided into parts.
    """

    def __init__(self, most: int) -> None:
        self.most, self.count, self.halvings = most, 0, 0
        self.parts: list[R] = []

    @property
    def overflowed(self) -> bool:
        """Whether some rows were not kept."""
        return self.halvings > 0

    def add(self, part: R) -> None:
        """Add a part's rows; halve the sample until it fits."""
        self.parts.append(self._thinned(part))
        self.count += len(self.parts[-1])
        while self.count > self.most:
            self.halvings += 1
            self.parts = [self._thinned(kept) for kept in self.parts]
            self.count = sum(map(len, self.parts))

    def _thinned(self, part: R) -> R:
        if not self.halvings:
            return part
        below = np.uint64(1 << (64 - self.halvings)) if self.halvings < 64 else np.uint64(0)
        return part.at(random_keys(part.row, _SEED) < below)  # type: ignore[return-value]
