"""One budget, one choice per row: the multiple-choice knapsack, its linear relaxation and greedy filling.

The dual of  max sum v[i, x_i]  s.t.  sum w[i, x_i] <= B  is one price:

    L(p) = p B + sum_i max_k (v[i, k] - p w[i, k])  >=  optimum   for every p >= 0

and at the best price the rows' maximisers fill the budget up to a single row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from routing_assets.allocation.hull import cheapest, hull_steps


@dataclass(frozen=True, eq=False)
class Relaxation:
    """The linear relaxation's price and bound, and the whole-number filling that goes with them."""

    price: float
    """Value per unit of weight at the margin; 0 where the capacity does not bind."""
    bound: float
    """Upper bound on the total value."""
    choice: np.ndarray
    """(M,) feasible columns (up to float rounding of the weights' sum)."""
    value: float
    weight: float


def relax(value: np.ndarray, weight: np.ndarray, capacity: float) -> Relaxation | None:
    """Solve the relaxation of (M, K) float64 ``value`` and ``weight`` exactly; None where nothing fits.

    Takes the hull steps of all rows by falling efficiency until the capacity is full (Sinha & Zoltners 1979).
    """
    start = cheapest(value, weight)
    rows = np.arange(len(start))
    base_value, base_weight = float(value[rows, start].sum()), float(weight[rows, start].sum())
    if base_weight > capacity * (1 + 1e-12) + 1e-300:
        return None
    steps = hull_steps(value, weight, start)
    filled = base_weight + np.cumsum(steps.weight)
    taken = int(np.searchsorted(filled, capacity, side="right"))
    choice = start.copy()
    choice[steps.row[:taken]] = steps.after[:taken]
    total_value = base_value + float(steps.value[:taken].sum())
    total_weight = float(filled[taken - 1]) if taken else base_weight
    price = float(steps.efficiency[taken]) if taken < len(steps) else 0.0
    bound = total_value + (price * max(0.0, capacity - total_weight) if price else 0.0)
    return Relaxation(price, bound, choice, total_value, total_weight)
