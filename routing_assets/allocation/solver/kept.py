"""At most so many rows of all parts: of too many a random choice."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import numpy as np

from routing_assets.allocation.solver.order import random_keys

_SEED = 0xB10C_5EED_0F_0DD  # unlike any that a person chooses: an order by the same keys would not be drawn from fairly


class Rows(Protocol):
    """Some rows, by number."""

    @property
    def row(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def at(self, rows: np.ndarray) -> Rows: ...


R = TypeVar("R", bound=Rows)


class Kept(Generic[R]):
    """Rows of one part after another, all of them as long as there is room: else those with the smallest random keys.

    Which ones these are does not depend on the division into parts.
    """

    def __init__(self, most: int) -> None:
        self.most, self.count, self.halvings = most, 0, 0
        self.parts: list[R] = []

    @property
    def overflowed(self) -> bool:
        """Whether some rows were not kept."""
        return self.halvings > 0

    def add(self, part: R) -> None:
        """Keep a part's rows, or as many of all as there is room for."""
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
