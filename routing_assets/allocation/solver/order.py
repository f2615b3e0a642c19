"""A random order of rows that need not be stored: each row's key follows from its number alone."""

from __future__ import annotations

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def random_keys(rows: np.ndarray, seed: int) -> np.ndarray:
    """Return a seeded random key, uint64, of each row number.

    SplitMix64 (Steele, Lea & Flood 2014) with the row number as its counter: the same key on every machine and in every
    division into parts. Sorting by it shuffles the rows.
    """
    start = _mixed(np.array([seed % 2**64], np.uint64) + _GAMMA)
    return _mixed(start + (rows.astype(np.uint64) + np.uint64(1)) * _GAMMA)


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))
