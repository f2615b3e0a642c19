"""One sweep over the (row, column) pairs, in blocks that stay in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from routing_assets.allocation.solver.bracket import Bracket
from routing_assets.allocation.solver.exact import exact_sum
from routing_assets.allocation.solver.hull import cheapest, most_valuable
from routing_assets.allocation.solver.kept import Kept
from routing_assets.allocation.solver.source import Arrays, Located, Source

_BLOCK_PAIRS = 1 << 17  # 1 MB of float64 per array


def blocks(arrays: Arrays) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (first row, value, weight) in float64, with -inf value where a pair is not allowed."""
    value, weight, allowed = arrays
    size = max(1, _BLOCK_PAIRS // value.shape[1])
    for start in range(0, len(value), size):
        part = slice(start, start + size)
        v = value[part].astype(np.float64)
        if allowed is not None:
            v[~allowed[part]] = -np.inf
        yield start, v, weight[part].astype(np.float64)


def best_columns(value: np.ndarray, weight: np.ndarray, price: float) -> np.ndarray:
    """Return each row's maximiser of value - price x weight, (M,).

    Ties go to the lighter column at a price of 0, and to the more valuable one at an infinite price.
    """
    if math.isinf(price):
        return cheapest(value, weight)
    if price == 0:
        return most_valuable(value, weight)
    worth = weight * -price
    worth += value
    return worth.argmax(axis=1)


def columns_at_high(value: np.ndarray, weight: np.ndarray, first: int, bracket: Bracket) -> np.ndarray:
    """Return each row's best column at the high price of a bracket; the first row has the number ``first``."""
    taken = min(max(bracket.first - first, 0), len(value))
    if taken == 0:
        return best_columns(value, weight, bracket.high)
    if taken == len(value):
        return best_columns(value, weight, bracket.low)
    halves = ((slice(None, taken), bracket.low), (slice(taken, None), bracket.high))
    return np.concatenate([best_columns(value[half], weight[half], price) for half, price in halves])


def columns_at_low(value: np.ndarray, weight: np.ndarray, first: int, bracket: Bracket, high: np.ndarray) -> np.ndarray:
    """Return each row's best column at the low price of a bracket, given the ``high`` ones."""
    columns = best_columns(value, weight, bracket.low)
    left = max(bracket.last - first, 0)
    columns[left:] = high[left:]
    return columns


@dataclass(frozen=True, eq=False)
class Window:
    """The rows whose best column is not the same at both ends of a bracket, by row number."""

    row: np.ndarray
    """(M,) row numbers."""
    column_at_high: np.ndarray
    column_at_low: np.ndarray
    """(M,) best columns at the high price and at the low price."""
    value: np.ndarray
    weight: np.ndarray
    """(M, K) in the parts' own precision; -inf value where forbidden."""

    def __len__(self) -> int:
        return len(self.row)

    @property
    def moved_weight(self) -> Fraction:
        """How much more the rows weigh at the low price."""
        at = np.arange(len(self))
        return exact_sum(self.weight[at, self.column_at_low]) - exact_sum(self.weight[at, self.column_at_high])

    def at(self, rows: np.ndarray | slice) -> Window:
        """Some of the rows."""
        columns = self.column_at_high[rows], self.column_at_low[rows]
        return Window(self.row[rows], *columns, self.value[rows], self.weight[rows])


@dataclass(frozen=True, eq=False)
class Scan:
    """Best columns at the two ends of a bracket, summed exactly."""

    bracket: Bracket
    value: Fraction
    weight: Fraction
    """Totals of the best columns at the high price."""
    low_price_weight: Fraction
    """Total weight of the best columns at the low price."""
    window: Window
    overflowed: bool = False
    """Whether the window had more rows than fit in memory; ``window`` is then a random sample of them."""


def scan(source: Source, bracket: Bracket) -> Scan:
    """Find the best columns at both ends of a bracket and collect the rows where they differ."""
    value, weight, low_weight = Fraction(0), Fraction(0), Fraction(0)
    kept = Kept[Window](source.most_rows)
    for part in source.sweep(_scan_part, bracket):
        value, weight, low_weight = value + part.value, weight + part.weight, low_weight + part.low_price_weight
        kept.add(part.window)
    return Scan(bracket, value, weight, low_weight, joined_windows(kept.parts), kept.overflowed)


def _scan_part(located: Located, bracket: Bracket) -> Scan:
    arrays = located.read()
    k, rows = arrays[0].shape[1], len(arrays[0])
    no_rows, no_columns = np.empty(0, np.int64), np.empty(0, np.int16)
    windows = [Window(no_rows, no_columns, no_columns, *(np.empty((0, k), a.dtype) for a in arrays[:2]))]
    value, weight = np.empty(rows), np.empty(rows)
    for start, v, w in blocks(arrays):
        at, first = np.arange(len(v)), located.first + start
        high = columns_at_high(v, w, first, bracket)
        low = columns_at_low(v, w, first, bracket, high)
        value[start : start + len(v)], weight[start : start + len(v)] = v[at, high], w[at, high]
        differ = np.flatnonzero(high != low)
        own = v[differ].astype(arrays[0].dtype), w[differ].astype(arrays[1].dtype)
        windows.append(Window(first + differ, high[differ].astype(np.int16), low[differ].astype(np.int16), *own))
    window, spent = joined_windows(windows), exact_sum(weight)
    return Scan(bracket, exact_sum(value), spent, spent + window.moved_weight, window)


def joined_windows(windows: list[Window]) -> Window:
    """Join windows of consecutive rows into one."""
    names = ("row", "column_at_high", "column_at_low", "value", "weight")
    return Window(*(np.concatenate([getattr(window, name) for window in windows]) for name in names))


@dataclass(frozen=True, eq=False)
class Alternatives:
    """Columns that some rows could move to, and what each move would lose at the price."""

    row: np.ndarray
    """(M,) row numbers."""
    loss: np.ndarray
    """(M, K) reduced cost, not negative; inf where the column is not an alternative."""
    before: np.ndarray
    """(M,) present column."""
    value: np.ndarray
    weight: np.ndarray
    """(M, K)."""

    @property
    def weight_before(self) -> np.ndarray:
        """(M,) weight of the present column."""
        return self.weight[np.arange(len(self.row)), self.before]

    def at(self, rows: np.ndarray | slice) -> Alternatives:
        """Some of the rows."""
        return Alternatives(self.row[rows], self.loss[rows], self.before[rows], self.value[rows], self.weight[rows])


def alternatives(arrays: Arrays, choice: np.ndarray, price: float, below: float) -> Alternatives:
    """Collect the rows that can move to another column at a loss of less than ``below``."""
    k = arrays[0].shape[1]
    parts = [(np.empty(0, np.int64), np.empty((0, k)), np.empty(0, np.int64), np.empty((0, k)), np.empty((0, k)))]
    for start, v, w in blocks(arrays):
        at, here = np.arange(len(v)), choice[start : start + len(v)].astype(np.int64)
        worth = v - price * w
        loss = np.maximum(worth[at, here][:, None] - worth, 0.0)
        loss[at, here] = np.inf
        loss[loss >= below] = np.inf
        rows = np.flatnonzero(np.isfinite(loss.min(axis=1)))
        parts.append((start + rows, loss[rows], here[rows], v[rows], w[rows]))
    return Alternatives(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def all_alternatives(parts: list[Alternatives]) -> Alternatives:
    """Join the alternatives of several parts, the rows with the least loss first."""
    names = ("row", "loss", "before", "value", "weight")
    found = Alternatives(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    return found.at(np.argsort(found.loss.min(axis=1), kind="stable"))
