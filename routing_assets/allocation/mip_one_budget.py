"""Maximise success within one budget and no other constraint: a knapsack. Its bound certifies the other policies."""

from __future__ import annotations

import math

from routing_assets.allocation.errors import InfeasibleBudget
from routing_assets.allocation.solver.exact import float_not_below
from routing_assets.allocation.solver.knapsack import CapacityTooSmall, KnapsackAnswer, solve_knapsack
from routing_assets.allocation.solver.source import Source


def maximise_within_budget(
    source: Source, budget: float, *, relative_gap: float, time_limit_s: float = math.inf
) -> KnapsackAnswer:
    """Maximise expected success within the budget; raises InfeasibleBudget."""
    try:
        return solve_knapsack(source, budget, relative_gap=relative_gap, time_limit_s=time_limit_s)
    except CapacityTooSmall as short:
        raise InfeasibleBudget(budget, float_not_below(short.least)) from None
