"""Money without rounding: sums of floats as exact fractions, and fractions back to floats in a chosen direction.

Every float is a whole number of some power of two, so costs and budgets are taken to be exactly the numbers given and
their sums are compared as integers. Nothing is rounded to cents or pico-dollars on the way, which would move a sum of
millions of calls by more than the rounding it is meant to hide.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

_BLOCK = 1 << 22  # values per partial sum: 2**22 addends of 27 bits stay exact in a float64 accumulator


def exact_sum(values: np.ndarray) -> Fraction:
    """Return the sum of finite floats (any shape, float32 or float64) without any rounding.

    Mantissas are cut in two halves and added per exponent (Kulisch's long accumulator, vectorised).
    """
    flat = np.asarray(values).reshape(-1)
    total = Fraction(0)
    for start in range(0, flat.size, _BLOCK):
        mantissa, exponent = np.frexp(flat[start : start + _BLOCK].astype(np.float64))
        lowest = int(exponent.min())
        digits = np.ldexp(mantissa, 53).astype(np.int64)
        bins = exponent - lowest
        high = np.bincount(bins, weights=digits >> 26)
        low = np.bincount(bins, weights=digits & ((1 << 26) - 1))
        whole = sum(((int(h) << 26) + int(w)) << i for i, (h, w) in enumerate(zip(high, low, strict=True)))
        total += Fraction(whole) * Fraction(2) ** (lowest - 53)
    return total


def float_not_below(value: Fraction) -> float:
    """Return the least float that is not below ``value``."""
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def float_not_above(value: Fraction) -> float:
    """Return the greatest float that is not above ``value``."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def within(total: Fraction, limit: Fraction | float) -> bool:
    """Return whether an exact total is at most a limit, which may be infinite."""
    return math.isinf(limit) or total <= Fraction(limit)
