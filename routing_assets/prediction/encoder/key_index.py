"""Which row each known key has, for tens of millions of keys in 12 bytes of memory each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint8]
Rows = NDArray[np.int64]

KEY_BYTES = 32
PREFIX_BYTES = 8
UNKNOWN = -1
MOST_JOINED = 1 << 22
"""Keys of a run that is not joined with others: a join needs five times the memory of the keys that it moves."""


class _Run(NamedTuple):
    """Prefixes in rising order, and the row of each; equal prefixes stand in the order of their rows."""

    prefixes: NDArray[np.uint64]
    rows: NDArray[np.uint32]

    def join(self, later: _Run) -> _Run:
        prefixes = np.concatenate([self.prefixes, later.prefixes])
        rows = np.concatenate([self.rows, later.rows])
        order = np.argsort(prefixes, kind="stable")
        return _Run(prefixes[order], rows[order])


class KeyIndex:
    """Rows by key, as a dictionary would keep them, found by binary search among the first eight bytes of the keys.

    Several keys may begin with the same eight bytes. So a key counts as found only when the whole key of that row,
    which ``whole_keys`` reads from where it is kept, is the same.
    """

    def __init__(self, whole_keys: Callable[[Rows], Keys]) -> None:
        self._whole_keys = whole_keys
        self._runs: list[_Run] = []
        self._size = 0

    def add(self, blocks: Iterable[Keys]) -> list[int]:
        """Give the keys, (N, 32) a block, the next rows in their order; return the first row of each block.

        Of equal keys the last one is found.
        """
        firsts: list[int] = []
        together: list[NDArray[np.uint64]] = []
        waiting = 0
        for keys in blocks:
            firsts.append(self._size + waiting)
            together.append(_prefixes(keys))
            waiting += len(keys)
            if waiting >= MOST_JOINED:
                self._add_run(np.concatenate(together))
                together, waiting = [], 0
        if waiting:
            self._add_run(np.concatenate(together))
        return firsts

    def _add_run(self, prefixes: NDArray[np.uint64]) -> None:
        order = np.argsort(prefixes, kind="stable")
        run = _Run(prefixes[order], (order + self._size).astype(np.uint32))
        self._size += len(prefixes)
        # Few runs, and each key is seldom moved.
        while self._runs and len(self._runs[-1].rows) <= len(run.rows) < MOST_JOINED:
            run = self._runs.pop().join(run)
        self._runs.append(run)

    def find(self, keys: Keys) -> Rows:
        """(N,) the row of each key (N, 32), :data:`UNKNOWN` where it has none."""
        rows = np.full(len(keys), UNKNOWN, np.int64)
        prefixes = _prefixes(keys)
        for run in reversed(self._runs):
            sought = np.flatnonzero(rows == UNKNOWN)
            place = np.searchsorted(run.prefixes, prefixes[sought], side="right") - 1
            while len(sought):
                alike = (place >= 0) & (run.prefixes[place] == prefixes[sought])
                sought, place = sought[alike], place[alike]
                candidates = run.rows[place].astype(np.int64)
                same = (self._whole_keys(candidates) == keys[sought]).all(axis=1)
                rows[sought[same]] = candidates[same]
                sought, place = sought[~same], place[~same] - 1
        return rows


def _prefixes(keys: Keys) -> NDArray[np.uint64]:
    return np.ascontiguousarray(keys[:, :PREFIX_BYTES]).view(np.uint64).ravel()
