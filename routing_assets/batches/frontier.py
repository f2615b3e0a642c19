"""What more or less money would buy a batch: the frontier around its budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from routing_assets.allocation import Allocation, AllocationProblem, Frontier, InfeasibleAllocation, frontier
from routing_assets.allocation.second_look_limits import THEN_DECIDE
from routing_assets.pacing import SpendCurve

FACTORS = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)


@dataclass(frozen=True, eq=False)
class Place:
    """The allocation of a batch, compared with the others that were possible."""

    budget: float
    """USD that were allocated."""
    cost_usd: float
    expected_success: float
    """Mean over the batch."""
    cost_of_models: np.ndarray
    """(K,) USD of everything with one model."""
    success_of_models: np.ndarray
    """(K,) expected success of everything with one model."""


def place_of(allocation: Allocation) -> Place:
    """Where an allocation in memory stands. A second look is no model for all."""
    problem = allocation.problem
    alone = [k for k, name in enumerate(allocation.models) if not name.endswith(THEN_DECIDE)]
    single = problem.cost_matrix[:, alone].sum(axis=0, dtype=np.float64), problem.success[:, alone].mean(axis=0)
    return Place(problem.budget, allocation.total_cost, allocation.expected_success, *single)


def whole_frontier(problem: AllocationProblem) -> Frontier | None:
    """The frontier's breakpoints, from one pass; None under side constraints, where no single pass gives them."""
    return None if problem.side_constraints else frontier(problem)


def frontier_of_parts(curve: SpendCurve, cheapest_success: float) -> Frontier:
    """The frontier of a batch in parts, from its joined curve.

    Args:
        cheapest_success: expected successes of the cheapest assignment.
    """
    spent = np.concatenate([[0.0], np.cumsum(curve.usd)]) + curve.least_usd
    gained = np.concatenate([[0.0], np.cumsum(curve.price * curve.usd)])
    reached = (cheapest_success + gained) / curve.instructions
    price = np.append(curve.price, 0.0)
    return Frontier(spent, reached, reached, price, int(curve.instructions))


def around_budget(allocation: Allocation, curve: Frontier | None) -> list[dict[str, float]]:
    """Expected success at multiples of the batch's budget, where they can pay for the batch.

    Read off ``curve``, see :func:`whole_frontier`; where there is none, each budget is solved separately.
    """
    problem = allocation.problem
    at = partial(frontier, problem) if curve is None else curve.at
    return around(problem.budget, allocation.expected_success, at)


def around(budget: float, expected_success: float, at: Callable[[Sequence[float]], Frontier]) -> list[dict[str, float]]:
    """The points ``at`` multiples of a budget, and what the batch reaches now."""
    if not np.isfinite(FACTORS[-1] * budget) or budget == 0:
        return []
    rows = []
    for factor in FACTORS:
        try:
            point = at([factor * budget])
        except InfeasibleAllocation:
            continue
        rows.append(
            {
                "budget": factor,
                "budget_usd": float(point.budget[0]),
                "expected_success": float(point.expected_success[0]),
                "gain": float(point.expected_success[0]) - expected_success,
                "expected_successes_per_usd": float(point.shadow_price[0]),
            }
        )
    return rows
