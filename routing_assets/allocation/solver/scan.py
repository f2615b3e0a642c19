"""One pass over the (instruction, model) pairs, in blocks that stay in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from routing_assets.allocation.solver.exact import exact_sum
from routing_assets.allocation.solver.hull import cheapest, most_valuable

_BLOCK_PAIRS = 1 << 17  # 1 MB of float64 per array

Chunk = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""(value, weight, allowed) of some rows in order: (M, K) floats, and (M, K) bool, or None where all are allowed."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Best columns at the two ends of a price bracket; the *window* holds the rows where they differ."""

    choice: np.ndarray
    """(N,) best column at the high price."""
    value: float
    weight: Fraction
    """Totals of ``choice``."""
    low_price_weight: float
    """Total weight of the best columns at the low price."""
    window: np.ndarray
    """(M,) row numbers."""
    window_value: np.ndarray
    window_weight: np.ndarray
    """(M, K) of those rows, in the chunks' own precision; -inf value where forbidden."""
    overflowed: bool
    """The window had more rows than it may keep; only the first ones are here."""


def blocks(chunks: Iterable[Chunk]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (first row, value, weight) in float64, with -inf value where a pair is not allowed."""
    row = 0
    for value, weight, allowed in chunks:
        size = max(1, _BLOCK_PAIRS // value.shape[1])
        for start in range(0, len(value), size):
            part = slice(start, start + size)
            v = value[part].astype(np.float64)
            if allowed is not None:
                v[~allowed[part]] = -np.inf
            yield row + start, v, weight[part].astype(np.float64)
        row += len(value)


def best_columns(value: np.ndarray, weight: np.ndarray, price: float) -> np.ndarray:
    """Return each row's maximiser of value - price x weight; at 0 and inf ties go to the better second goal."""
    if math.isinf(price):
        return cheapest(value, weight)
    if price == 0:
        return most_valuable(value, weight)
    worth = weight * -price
    worth += value
    return worth.argmax(axis=1)


def scan(chunks: Iterable[Chunk], n: int, low: float, high: float, dtype: np.dtype, max_window: int) -> Scan:
    """Find the best columns at prices ``low`` and ``high`` and collect the rows where they differ."""
    choice = np.empty(n, np.int16)
    value, weight, low_weight, kept, overflowed = 0.0, Fraction(0), 0.0, 0, False
    window: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for first, v, w in blocks(chunks):
        at = np.arange(len(v))
        dear = best_columns(v, w, high)
        cheap = best_columns(v, w, low)
        choice[first : first + len(v)] = dear
        value += float(v[at, dear].sum())
        chosen = w[at, dear]
        weight += exact_sum(chosen)
        low_weight += float(w[at, cheap].sum())
        differ = np.flatnonzero(dear != cheap)
        overflowed = overflowed or kept + differ.size > max_window
        differ = differ[: max_window - kept]
        kept += differ.size
        window.append((first + differ, v[differ].astype(dtype), w[differ].astype(dtype)))
    rows, window_value, window_weight = (np.concatenate(column) for column in zip(*window, strict=True))
    return Scan(choice, value, weight, low_weight, rows, window_value, window_weight, overflowed)


@dataclass(frozen=True, eq=False)
class Alternatives:
    """Other columns for some rows: what moving there loses at the price, and how much weight it adds."""

    row: np.ndarray
    """(M,) row numbers."""
    loss: np.ndarray
    """(M, K) reduced cost, not negative; inf where the column is no alternative."""
    before: np.ndarray
    """(M,) weight of the present column."""
    weight: np.ndarray
    """(M, K)."""


def alternatives(chunks: Iterable[Chunk], choice: np.ndarray, price: float, below: float) -> Alternatives:
    """Collect the rows that can move at a loss less than ``below``, those with the least loss first."""
    parts: list[tuple[np.ndarray, ...]] = []
    for first, v, w in blocks(chunks):
        at, here = np.arange(len(v)), choice[first : first + len(v)]
        worth = v - price * w
        loss = np.maximum(worth[at, here][:, None] - worth, 0.0)
        loss[at, here] = np.inf
        loss[loss >= below] = np.inf
        rows = np.flatnonzero(np.isfinite(loss.min(axis=1)))
        parts.append((first + rows, loss[rows], w[rows, here[rows]], w[rows]))
    row, loss, before, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(loss.min(axis=1), kind="stable")
    return Alternatives(row[order], loss[order], before[order], weight[order])
