"""The threshold policy: the cheapest model that is good enough."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from routing_assets.allocation.answer import Allocation
from routing_assets.allocation.errors import InfeasibleBudget
from routing_assets.allocation.heuristic import certified
from routing_assets.allocation.policy import Options, Policy
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.exact import exact_sum, float_not_below, within

_BISECTIONS = 40


@dataclass(frozen=True, eq=False)
class ThresholdChoice:
    """What the policy chose, at which target, and how many instructions had no model that met it."""

    choice: np.ndarray
    target: float
    no_model_met_target: int


def _decide(problem: AllocationProblem, options: Options) -> Allocation:
    answer = threshold(problem, options.target)
    notes = {"target": answer.target, "no_model_met_target": answer.no_model_met_target}
    return certified(problem, THRESHOLD.name, answer.choice, seed=options.seed, notes=notes)


THRESHOLD = Policy(
    "threshold",
    "The cheapest model whose success reaches the target; the most probable one where none does.",
    _decide,
    ignores_side_constraints=True,
)


def threshold(problem: AllocationProblem, target: float) -> ThresholdChoice:
    """Give each instruction its cheapest model with success >= ``target``, and where none has, its most probable one.

    Where that would cost more than the budget, the target is lowered until it fits. At target 0 everything goes to its
    cheapest model, so a budget under that raises :class:`InfeasibleBudget`.
    """
    answer = _at(problem, target)
    if _affordable(problem, answer):
        return answer
    low, high = _at(problem, 0.0), answer
    if not _affordable(problem, low):
        cheapest = float_not_below(exact_sum(problem.chosen(problem.cost_matrix, low.choice)))
        raise InfeasibleBudget(problem.budget, cheapest, policy="threshold")
    return _at(problem, _greatest_affordable(problem, low, high))


def _greatest_affordable(problem: AllocationProblem, low: ThresholdChoice, high: ThresholdChoice) -> float:
    """Bisect between two targets. A row that chooses the same at both does so at every target between them, so only
    the others are looked at again.
    """
    success, cost, rest = problem.success, problem.cost_matrix, Fraction(0)
    allowed, low_target, high_target = problem.allowed, low.target, high.target
    low_choice, high_choice = low.choice, high.choice
    for _ in range(_BISECTIONS):
        same = low_choice == high_choice
        rest += exact_sum(cost[same, low_choice[same]])
        success, cost, low_choice, high_choice = (a[~same] for a in (success, cost, low_choice, high_choice))
        allowed = None if allowed is None else allowed[~same]
        middle = (low_target + high_target) / 2
        choice, _ = _choose(success, cost, allowed, middle)
        if within(rest + exact_sum(cost[np.arange(len(cost)), choice]), problem.budget):
            low_target, low_choice = middle, choice
        else:
            high_target, high_choice = middle, choice
    return low_target


def _at(problem: AllocationProblem, target: float) -> ThresholdChoice:
    choice, met = _choose(problem.success, problem.cost_matrix, problem.allowed, target)
    return ThresholdChoice(choice, target, int((~met).sum()))


def _choose(
    success: np.ndarray, cost: np.ndarray, allowed: np.ndarray | None, target: float
) -> tuple[np.ndarray, np.ndarray]:
    """The chosen column of each row, and whether it meets the target."""
    if allowed is not None:
        success = np.where(allowed, success, -1.0)
    qualified = (success >= target) & (success >= 0)
    # Cheapest first, then the more probable, then the first.
    price = np.where(qualified, cost, np.inf)
    cheapest = np.where(price == price.min(axis=1, keepdims=True), success, -2.0).argmax(axis=1)
    best = np.where(success == success.max(axis=1, keepdims=True), cost, np.inf).argmin(axis=1)
    met = np.asarray(qualified.any(axis=1))
    return np.where(met, cheapest, best), met


def _affordable(problem: AllocationProblem, answer: ThresholdChoice) -> bool:
    return within(exact_sum(problem.chosen(problem.cost_matrix, answer.choice)), problem.budget)
