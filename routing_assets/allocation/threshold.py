"""The threshold policy: the cheapest model that is good enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from routing_assets.allocation.errors import InfeasibleBudget
from routing_assets.allocation.exact import exact_sum, float_not_below, within
from routing_assets.allocation.problem import AllocationProblem

_BISECTIONS = 40


@dataclass(frozen=True, eq=False)
class ThresholdChoice:
    """What the policy chose, at which target, and how many instructions had no model that met it."""

    choice: np.ndarray
    target: float
    no_model_met_target: int


def threshold(problem: AllocationProblem, target: float) -> ThresholdChoice:
    """Give each instruction its cheapest model with success >= ``target``, and where none has, its most probable one.

    Where that would cost more than the budget, the target is lowered until it fits. At target 0 everything goes to its
    cheapest model, so a budget under that raises :class:`InfeasibleBudget`.
    """
    answer = _at(problem, target)
    if _affordable(problem, answer):
        return answer
    low, high = _at(problem, 0.0), target
    if not _affordable(problem, low):
        cheapest = float_not_below(exact_sum(problem.chosen(problem.cost_matrix, low.choice)))
        raise InfeasibleBudget(problem.budget, cheapest, policy="threshold")
    for _ in range(_BISECTIONS):
        middle = (low.target + high) / 2
        answer = _at(problem, middle)
        if _affordable(problem, answer):
            low = answer
        else:
            high = middle
    return low


def _at(problem: AllocationProblem, target: float) -> ThresholdChoice:
    success, cost, allowed = problem.success, problem.cost_matrix, problem.allowed
    if allowed is not None:
        success = np.where(allowed, success, -1.0)
    qualified = (success >= target) & (success >= 0)
    # Cheapest first, then the more probable, then the first.
    price = np.where(qualified, cost, np.inf)
    cheapest = np.where(price == price.min(axis=1, keepdims=True), success, -2.0).argmax(axis=1)
    best = np.where(success == success.max(axis=1, keepdims=True), cost, np.inf).argmin(axis=1)
    met = qualified.any(axis=1)
    return ThresholdChoice(np.where(met, cheapest, best), target, int((~met).sum()))


def _affordable(problem: AllocationProblem, answer: ThresholdChoice) -> bool:
    return within(exact_sum(problem.chosen(problem.cost_matrix, answer.choice)), problem.budget)
