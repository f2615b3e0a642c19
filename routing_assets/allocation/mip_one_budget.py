"""Problems with one budget and no other row: the knapsack with a seeded sample to bracket its price."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from routing_assets.allocation.errors import InfeasibleBudget
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.bracket import bracket_price
from routing_assets.allocation.solver.exact import float_not_below
from routing_assets.allocation.solver.knapsack import CapacityTooSmall, KnapsackAnswer, solve_knapsack

_SAMPLE_ROWS = 1 << 15


def maximise_within_budget(
    problem: AllocationProblem, *, seed: int, relative_gap: float, time_limit_s: float
) -> KnapsackAnswer:
    """Maximise expected success within the budget, whatever the side constraints; raises InfeasibleBudget."""
    try:
        return maximise(
            problem.success,
            problem.cost_matrix,
            problem.allowed,
            problem.budget,
            seed=seed,
            relative_gap=relative_gap,
            time_limit_s=time_limit_s,
        )
    except CapacityTooSmall as short:
        raise InfeasibleBudget(problem.budget, float_not_below(short.least)) from None


def maximise(
    value: np.ndarray,
    weight: np.ndarray,
    allowed: np.ndarray | None,
    capacity: Fraction | float,
    *,
    seed: int,
    relative_gap: float,
    time_limit_s: float = math.inf,
) -> KnapsackAnswer:
    """Maximise total value of (N, K) pairs, one per row, with total weight <= ``capacity``.

    Raises :class:`~routing_assets.allocation.solver.knapsack.CapacityTooSmall`.
    """
    n, bracket = len(value), (0.0, math.inf)
    if n > 2 * _SAMPLE_ROWS and math.isfinite(capacity):
        rows = np.sort(np.random.default_rng(seed).choice(n, _SAMPLE_ROWS, replace=False))
        sampled = value[rows].astype(np.float64)
        if allowed is not None:
            sampled[~allowed[rows]] = -np.inf
        bracket = bracket_price(sampled, weight[rows].astype(np.float64), n, float(capacity))
    return solve_knapsack(
        [(value, weight, allowed)],
        n,
        capacity,
        bracket,
        relative_gap=relative_gap,
        time_limit_s=time_limit_s,
        dtype=np.result_type(value, weight),
        max_window=n,
    )
