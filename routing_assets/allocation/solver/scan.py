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
    """Return each row's maximiser of value - price x weight; at 0 and inf ties go to the better second goal."""
    if math.isinf(price):
        return cheapest(value, weight)
    if price == 0:
        return most_valuable(value, weight)
    worth = weight * -price
    worth += value
    return worth.argmax(axis=1)


def dear_columns(value: np.ndarray, weight: np.ndarray, first: int, bracket: Bracket) -> np.ndarray:
    """Return each row's best column at the high end of a bracket, where row ``first`` is the first of these rows."""
    taken = min(max(bracket.first - first, 0), len(value))
    if taken == 0:
        return best_columns(value, weight, bracket.high)
    if taken == len(value):
        return best_columns(value, weight, bracket.low)
    halves = ((slice(None, taken), bracket.low), (slice(taken, None), bracket.high))
    return np.concatenate([best_columns(value[half], weight[half], price) for half, price in halves])


def cheap_columns(value: np.ndarray, weight: np.ndarray, first: int, bracket: Bracket, dear: np.ndarray) -> np.ndarray:
    """Return each row's best column at the low end of a bracket, given that at the high end."""
    columns = best_columns(value, weight, bracket.low)
    left = max(bracket.last - first, 0)
    columns[left:] = dear[left:]
    return columns


@dataclass(frozen=True, eq=False)
class Window:
    """Rows whose best columns differ between the two ends of a bracket, in order."""

    row: np.ndarray
    """(M,) row numbers."""
    dear: np.ndarray
    cheap: np.ndarray
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
        return exact_sum(self.weight[at, self.cheap]) - exact_sum(self.weight[at, self.dear])

    def at(self, rows: np.ndarray | slice) -> Window:
        """Some of the rows."""
        return Window(self.row[rows], self.dear[rows], self.cheap[rows], self.value[rows], self.weight[rows])


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
    """The window had more rows than may be held; these are some of them, drawn at random."""


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
    nobody, none = np.empty(0, np.int64), np.empty(0, np.int16)
    windows = [Window(nobody, none, none, *(np.empty((0, k), a.dtype) for a in arrays[:2]))]
    value, weight = np.empty(rows), np.empty(rows)
    for start, v, w in blocks(arrays):
        at, first = np.arange(len(v)), located.first + start
        dear = dear_columns(v, w, first, bracket)
        cheap = cheap_columns(v, w, first, bracket, dear)
        value[start : start + len(v)], weight[start : start + len(v)] = v[at, dear], w[at, dear]
        differ = np.flatnonzero(dear != cheap)
        own = v[differ].astype(arrays[0].dtype), w[differ].astype(arrays[1].dtype)
        windows.append(Window(first + differ, dear[differ].astype(np.int16), cheap[differ].astype(np.int16), *own))
    window, spent = joined_windows(windows), exact_sum(weight)
    return Scan(bracket, exact_sum(value), spent, spent + window.moved_weight, window)


def joined_windows(windows: list[Window]) -> Window:
    """Windows of rows that follow each other, as one."""
    names = ("row", "dear", "cheap", "value", "weight")
    return Window(*(np.concatenate([getattr(window, name) for window in windows]) for name in names))


@dataclass(frozen=True, eq=False)
class Alternatives:
    """Other columns for some rows: what moving there loses at the price, and how much weight it adds."""

    row: np.ndarray
    """(M,) row numbers."""
    loss: np.ndarray
    """(M, K) reduced cost, not negative; inf where the column is no alternative."""
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
    """Collect the rows that can move at a loss less than ``below``."""
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
    """Those of several parts, the rows with the least loss first."""
    names = ("row", "loss", "before", "value", "weight")
    found = Alternatives(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    return found.at(np.argsort(found.loss.min(axis=1), kind="stable"))
