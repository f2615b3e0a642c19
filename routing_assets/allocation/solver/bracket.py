"""Where the price of the budget must lie, judged from a sample of the rows."""

from __future__ import annotations

import math

import numpy as np

from routing_assets.allocation.solver.hull import cheapest, hull_steps
from routing_assets.allocation.solver.scan import Scan

_DEVIATIONS = 3.0  # a bracket that misses costs one more pass; 3 standard errors miss once in 370
_MARGIN = 0.02  # of a window's weight, either side, when its first rows stand for all of it


def bracket_price(value: np.ndarray, weight: np.ndarray, n: int, capacity: float) -> tuple[float, float]:
    """Return (low, high) prices that hold the price of ``n`` rows' capacity in all likelihood.

    ``value`` and ``weight`` are (M, K) float64 rows drawn at random from the ``n``. The sample's prices are read off at
    its share of the capacity, give or take the sampling error of its total weight.
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


def narrowed(found: Scan, low: float, high: float, capacity: float) -> tuple[float, float]:
    """Return a bracket inside (low, high), judged from the window rows that were kept; the same where all are tied."""
    start = found.choice[found.window]
    steps = hull_steps(found.window_value, found.window_weight, start, low)
    filled = np.cumsum(steps.weight)
    wanted = (capacity - float(found.weight)) / (found.low_price_weight - float(found.weight))
    first = int(np.searchsorted(filled, (wanted - _MARGIN) * filled[-1]))
    last = int(np.searchsorted(filled, (wanted + _MARGIN) * filled[-1], side="right"))
    new_high = high if first == 0 else float(steps.efficiency[first - 1])
    new_low = low if last >= len(steps) else float(steps.efficiency[last])
    return (new_low, new_high) if new_low < new_high else (low, high)
