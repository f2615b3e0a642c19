"""A mixture of two models: instructions move to the dearer one, in a given order, while the budget lasts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from routing_assets.allocation.solver.exact import exact_sum, within
from routing_assets.allocation.solver.kept import Kept
from routing_assets.allocation.solver.order import random_keys
from routing_assets.allocation.solver.source import Arrays, Located, Source, sampled_rows

_DEVIATIONS = 4.0  # a bracket that misses costs one more sweep
_MARGIN = 0.02  # share of the rows between two cuts, added on either side when only a sample of them is held

Cut = tuple[float | int, int]
"""A place in an order: (key, row) of the first instruction that is not moved."""


@dataclass(frozen=True)
class Order:
    """An order of the instructions: random with a seed; without one, by rising success with the lower model."""

    seed: int | None

    def listed(self, success: np.ndarray) -> np.ndarray:
        """Return all row numbers, (N,), in this order; ``success`` (N,) is that with the lower model."""
        if self.seed is None:
            return np.argsort(success, kind="stable")
        return np.random.default_rng(self.seed).permutation(len(success))

    def keys(self, rows: np.ndarray, success: np.ndarray) -> np.ndarray:
        """Return sort keys, (M,), of a part's rows. With a seed their order is another than that of :meth:`listed`."""
        return success if self.seed is None else random_keys(rows, self.seed)

    @property
    def ends(self) -> tuple[Cut, Cut]:
        """Return the cut before the first instruction and the one after the last."""
        return (0, -1), ((math.inf, 0) if self.seed is None else (2**64 - 1, 2**62))


@dataclass(frozen=True, eq=False)
class MovedRule:
    """The upper model where ``moved``, (N,) bool, is True, and the lower one elsewhere; an empty array moves none."""

    lower: int
    upper: int
    moved: np.ndarray

    def of(self, first: int, rows: int) -> MovedRule:
        """Return the rule of ``rows`` rows from ``first`` on."""
        return MovedRule(self.lower, self.upper, self.moved[first : first + rows])

    def choose(self, first: int, arrays: Arrays) -> np.ndarray:
        """Return the model, (M,) int16, of each of M rows."""
        choice = np.full(len(arrays[0]), self.lower, np.int16)
        if self.moved.size:
            choice[self.moved] = self.upper
        return choice

    def notes(self, arrays: Arrays) -> Mapping[str, int]:
        """Return nothing: the mixture is in the certificate."""
        return {}


@dataclass(frozen=True)
class CutRule:
    """The upper model for each row before a cut in an order, and the lower one for the rest."""

    lower: int
    upper: int
    order: Order
    cut: Cut

    def of(self, first: int, rows: int) -> CutRule:
        """Return the rule itself: it is the same for all rows."""
        return self

    def choose(self, first: int, arrays: Arrays) -> np.ndarray:
        """Return the model, (M,) int16, of each of M rows; ``first`` is the number of the first row."""
        rows = np.arange(first, first + len(arrays[0]))
        moved = _before(self.order.keys(rows, arrays[0][:, self.lower]), rows, self.cut)
        return np.where(moved, self.upper, self.lower).astype(np.int16)

    def notes(self, arrays: Arrays) -> Mapping[str, int]:
        """Return nothing: the mixture is in the certificate."""
        return {}


@dataclass(frozen=True, eq=False)
class Mixture:
    """A rule that gives ``moved`` instructions to the upper model, the others to the lower one."""

    rule: MovedRule | CutRule
    moved: int

    @property
    def lower(self) -> int:
        return self.rule.lower

    @property
    def upper(self) -> int:
        return self.rule.upper


@dataclass(frozen=True, eq=False)
class _Movable:
    """Rows between two cuts, with the costs they have with both models."""

    row: np.ndarray
    key: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def at(self, rows: np.ndarray) -> _Movable:
        """Return some of the rows."""
        return _Movable(self.row[rows], self.key[rows], self.lower[rows], self.upper[rows])

    @property
    def extra(self) -> np.ndarray:
        """(M,) cost of moving each row to the upper model."""
        return self.upper.astype(np.float64) - self.lower

    def cut(self, position: int, otherwise: Cut) -> Cut:
        """Return the cut before the row at ``position``; ``otherwise`` if there is no such row."""
        return (self.key[position].item(), int(self.row[position])) if 0 <= position < len(self) else otherwise


@dataclass(frozen=True, eq=False)
class _Between:
    """The rows before a range of cuts (cost of moving all, count) and the rows in it (cost of moving all, rows)."""

    before: Fraction
    count: int
    inside: Fraction
    rows: _Movable
    overflowed: bool = False


def furthest_cut(source: Source, order: Order, lower: int, upper: int, start: Fraction, budget: float) -> Mixture:
    """Find the furthest cut that the budget can pay for. One sweep suffices if the sample guesses its place well.

    ``start`` is the cost of all instructions with the lower model. If moving some instructions *saves* money, a cut
    much further on may fit again; only the neighbourhood of the sample's guess is searched.
    """
    outer = order.ends
    low, high = _guess(source, order, lower, upper, float(start), budget)
    while True:
        found = _between(source, order, lower, upper, low, high)
        if not within(start + found.before, budget):
            outer, low, high = (outer[0], low), outer[0], low
        elif high != order.ends[1] and within(start + found.before + found.inside, budget):
            outer, low, high = (high, outer[1]), high, outer[1]
        elif found.overflowed:
            outer = low, high
            low, high = _narrowed(found, outer, (budget - float(start + found.before)) / float(found.inside))
        else:
            break
    rows, spent = found.rows, start + found.before
    fits = np.flatnonzero(float(spent) + np.cumsum(rows.extra) <= budget)
    count = int(fits[-1]) + 1 if fits.size else 0
    spent += exact_sum(rows.upper[:count]) - exact_sum(rows.lower[:count])
    while not within(spent, budget):  # the float sum above may be an ulp out
        count -= 1
        spent -= Fraction(float(rows.upper[count])) - Fraction(float(rows.lower[count]))
    return Mixture(CutRule(lower, upper, order, rows.cut(count, high)), found.count + count)


def _guess(source: Source, order: Order, lower: int, upper: int, start: float, budget: float) -> tuple[Cut, Cut]:
    success, cost, _ = source.sample
    if not len(success):
        return order.ends
    rows = sampled_rows(source.rows, source.seed)
    sample = _sorted(_Movable(rows, order.keys(rows, success[:, lower]), cost[:, lower], cost[:, upper]))
    return _around(sample, order.ends, (budget - start) * len(sample) / source.rows)


def _narrowed(found: _Between, outer: tuple[Cut, Cut], wanted: float) -> tuple[Cut, Cut]:
    """Return a narrower range, judged by the rows that were kept; halve the range if that does not narrow it."""
    filled = np.maximum.accumulate(np.cumsum(found.rows.extra))
    margin = max(_MARGIN, 1 / math.sqrt(len(filled)))
    first = min(int(np.searchsorted(filled, (wanted - margin) * filled[-1])), len(filled) - 1)
    last = max(int(np.searchsorted(filled, (wanted + margin) * filled[-1], side="right")), first + 1)
    cuts = found.rows.cut(first, outer[0]), found.rows.cut(last, outer[1])
    return cuts if cuts != outer else (outer[0], found.rows.cut(len(found.rows) // 2, outer[1]))


def _around(rows: _Movable, ends: tuple[Cut, Cut], room: float) -> tuple[Cut, Cut]:
    """Return cuts on either side of where the sampled rows use up ``room``, a sampling error away."""
    filled = np.maximum.accumulate(np.cumsum(rows.extra))
    error = _DEVIATIONS * (float(rows.extra.std()) + abs(float(rows.extra.mean()))) * math.sqrt(len(rows))
    first = int(np.searchsorted(filled, room - error)) - 1
    last = int(np.searchsorted(filled, room + error, side="right")) + 1
    return rows.cut(first, ends[0]), rows.cut(last, ends[1])


def _between(source: Source, order: Order, lower: int, upper: int, low: Cut, high: Cut) -> _Between:
    before, inside, count, kept = Fraction(0), Fraction(0), 0, Kept[_Movable](source.most_rows)
    for part in source.sweep(_between_part, order, lower, upper, low, high):
        before, inside, count = before + part.before, inside + part.inside, count + part.count
        kept.add(part.rows)
    names = ("row", "key", "lower", "upper")
    rows = _Movable(*(np.concatenate([getattr(part, name) for part in kept.parts]) for name in names))
    return _Between(before, count, inside, _sorted(rows), kept.overflowed)


def _between_part(located: Located, order: Order, lower: int, upper: int, low: Cut, high: Cut) -> _Between:
    success, cost, _ = located.read()
    row = np.arange(located.first, located.first + len(success))
    rows = _Movable(row, order.keys(row, success[:, lower]), cost[:, lower], cost[:, upper])
    before = _before(rows.key, row, low)
    inside = _before(rows.key, row, high) & ~before
    moved, movable = rows.at(before), rows.at(inside)
    return _Between(_extra(moved), len(moved), _extra(movable), movable)


def _extra(rows: _Movable) -> Fraction:
    return exact_sum(rows.upper) - exact_sum(rows.lower)


def _before(keys: np.ndarray, rows: np.ndarray, cut: Cut) -> np.ndarray:
    key = keys.dtype.type(cut[0])
    return (keys < key) | ((keys == key) & (rows < cut[1]))


def _sorted(rows: _Movable) -> _Movable:
    return rows.at(np.lexsort((rows.row, rows.key)))
