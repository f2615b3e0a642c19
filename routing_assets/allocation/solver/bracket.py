"""Brackets of the budget's dual price, estimated from a sample of the rows."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from routing_assets.allocation.solver.hull import cheapest, hull_steps

if TYPE_CHECKING:
    from routing_assets.allocation.solver.scan import Scan, Window

_DEVIATIONS = 3.0  # a bracket that misses costs one more sweep; 3 standard errors miss once in 370
_MARGIN = 0.02  # of a window's weight, on either side, where a sample of its rows is judged
_TIED = 1e-9  # relative: prices nearer than this count as equal, as rounding hides which column is best


@dataclass(frozen=True)
class Bracket:
    """Two prices, with the price of the capacity between them.

    Where more rows are tied at one price than fit in memory, ``low`` and ``high`` lie just below and above that price,
    and the bracket is narrowed by row number instead. Rows before ``first`` then take their best column at the low
    price, rows from ``last`` on that at the high price.
    """

    low: float = 0.0
    high: float = math.inf
    first: int = 0
    last: int = sys.maxsize
    lost: float = 0.0
    """Most value that rows decided by their number may lose in total, as tied prices are not exactly equal."""

    @property
    def among_rows(self) -> bool:
        """Whether some rows are decided by their number."""
        return self.first > 0 or self.last < sys.maxsize


EVERYTHING = Bracket()


def bracket_price(value: np.ndarray, weight: np.ndarray, n: int, capacity: float) -> tuple[float, float]:
    """Return (low, high) prices that very probably hold the price of the capacity of ``n`` rows between them.

    ``value`` and ``weight`` are (M, K) float64 rows drawn at random from the ``n``. The sample's prices are read off at
    its share of the capacity, plus and minus the sampling error of its total weight.
    """
    m = len(value)
    start = cheapest(value, weight)
    steps = hull_steps(value, weight, start)
    base = weight[np.arange(m), start]
    filled = base.sum() + np.cumsum(steps.weight)
    share = capacity * m / n
    taken = int(np.searchsorted(filled, share))
    chosen = base.copy()
    np.add.at(chosen, steps.row[:taken], steps.weight[:taken])
    error = _DEVIATIONS * float(chosen.std()) * math.sqrt(m) + 3 * float(steps.weight.max(initial=0.0))
    first = int(np.searchsorted(filled, share - error))
    last = int(np.searchsorted(filled, share + error, side="right"))
    high = math.inf if first == 0 else float(steps.efficiency[first - 1])
    low = 0.0 if last >= len(steps) else float(steps.efficiency[last])
    return low, high


def above(bracket: Bracket, outer: Bracket | None) -> Bracket:
    """Return the bracket to try when even the choice at the high price weighs more than the capacity.

    ``outer`` is a bracket that is known to hold the price; None while there is only the sample's estimate.
    """
    if outer is None:
        return Bracket(bracket.high) if bracket.low > 0 else EVERYTHING
    if bracket.among_rows:
        return replace(bracket, first=outer.first, last=bracket.first)
    return Bracket(bracket.high, outer.high)


def below(bracket: Bracket, outer: Bracket | None) -> Bracket:
    """Return the bracket to try when even the choice at the low price weighs less than the capacity."""
    if outer is None:
        return Bracket(0.0, bracket.low) if math.isfinite(bracket.high) else EVERYTHING
    if bracket.among_rows:
        return replace(bracket, first=bracket.last, last=outer.last)
    return Bracket(outer.low, bracket.low)


def with_ties(bracket: Bracket) -> Bracket:
    """Return the bracket widened to hold also the steps whose efficiency equals its low price."""
    return replace(bracket, low=bracket.low * (1 - _TIED))


def narrowed(found: Scan, n: int, capacity: float) -> Bracket:
    """Return a bracket inside that of a scan whose window overflowed, estimated from the rows that were kept."""
    bracket, window, moved = found.bracket, found.window, float(found.low_price_weight - found.weight)
    wanted = (capacity - float(found.weight)) / moved
    if bracket.among_rows:
        return _among_rows(bracket, window, wanted, n)
    if bracket.high <= bracket.low * (1 + 8 * _TIED):
        lost = (bracket.high - bracket.low) * moved
        return _among_rows(replace(bracket, lost=lost), window, wanted, n)
    steps = hull_steps(window.value, window.weight, window.column_at_high.astype(np.intp), with_ties(bracket).low)
    if not len(steps):
        return with_ties(bracket)
    filled = np.cumsum(steps.weight)
    first = int(np.searchsorted(filled, (wanted - _MARGIN) * filled[-1]))
    last = int(np.searchsorted(filled, (wanted + _MARGIN) * filled[-1], side="right"))
    high = bracket.high if first == 0 else float(steps.efficiency[first - 1])
    low = bracket.low if last >= len(steps) else max(bracket.low, float(steps.efficiency[last]) * (1 - _TIED))
    if (low, high) == (bracket.low, bracket.high):  # a few steps hold nearly all the weight
        middle = float(steps.efficiency[len(steps) // 2])
        low, high = (middle * (1 - _TIED), high) if middle * (1 - _TIED) > low else (low, middle * (1 + _TIED))
    if high <= low * (1 + 4 * _TIED):
        high = min(high * (1 + _TIED), bracket.high)
    return Bracket(low, high)


def _among_rows(bracket: Bracket, window: Window, wanted: float, n: int) -> Bracket:
    """Return a narrower range of rows: all of them are tied at one step, and only some can take it."""
    at = np.arange(len(window))
    at_low, at_high = window.weight[at, window.column_at_low], window.weight[at, window.column_at_high]
    filled = np.cumsum(at_low.astype(np.float64) - at_high)
    first = int(np.searchsorted(filled, (wanted - _MARGIN) * filled[-1]))
    last = int(np.searchsorted(filled, (wanted + _MARGIN) * filled[-1], side="right"))
    return replace(
        bracket,
        first=bracket.first if first == 0 else int(window.row[first - 1]),
        last=min(bracket.last, n) if last >= len(window) else int(window.row[last]),
    )
