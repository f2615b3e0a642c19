"""The certificate of a policy that proves nothing itself: how much better any assignment within the budget could be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from routing_assets.allocation.answer import Allocation, measure
from routing_assets.allocation.mip_one_budget import maximise_within_budget
from routing_assets.allocation.problem import AllocationProblem


def certified(
    problem: AllocationProblem, policy: str, choice: np.ndarray, *, seed: int, notes: Mapping[str, Any]
) -> Allocation:
    """A policy's choice (N,), measured, with the bound and the price of money from the relaxed knapsack."""
    success, cost = measure(problem, choice)
    best = maximise_within_budget(problem, seed=seed, relative_gap=math.inf, time_limit_s=math.inf)
    bound = max(success, measure(problem, best.choice)[0] + best.loss / len(problem))
    prices = {"budget": best.price}
    return Allocation(
        problem, choice, policy, "heuristic", success, cost, bound, best.price, prices=prices, notes=notes
    )
