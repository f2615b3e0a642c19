"""The one entry point: solve a problem by a policy and certify the answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from routing_assets.allocation.answer import Allocation, measure
from routing_assets.allocation.errors import InfeasibleBudget, InfeasibleConstraints
from routing_assets.allocation.exact import exact_sum, float_not_below, within
from routing_assets.allocation.knapsack import Relaxation, relax
from routing_assets.allocation.ndch import ndch, ndch_p
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.threshold import threshold
from routing_assets.errors import InvalidInput

POLICIES = ("threshold", "ndch", "ndch_p", "mip")


def allocate(
    problem: AllocationProblem,
    policy: str = "mip",
    *,
    target: float = 0.75,
    seed: int = 0,
    exact: bool = False,
    time_limit_s: float = 60.0,
) -> Allocation:
    """Assign every instruction of the batch to one model without ever exceeding the budget.

    ``policy`` is one of ``threshold`` (with ``target``), ``ndch`` (random mixture, with ``seed``), ``ndch_p`` and
    ``mip``. ``mip`` maximises expected success under all constraints and proves how close it is: to a relative gap of
    1e-6, or with ``exact`` to optimality; ``status`` says so where ``time_limit_s`` ended it first.

    Raises :class:`InfeasibleBudget` or :class:`InfeasibleConstraints` with the reason.
    """
    if policy not in POLICIES:
        raise InvalidInput(f"unknown policy '{policy}'", remedy=f"Known: {', '.join(POLICIES)}")
    _refuse_hopeless_rows(problem)
    if policy == "mip":
        return _mip(problem)
    unsupported = problem.side_constraints if policy == "threshold" else _beyond_budget(problem)
    if unsupported:
        raise InvalidInput(f"policy '{policy}' cannot keep {', '.join(unsupported)}", remedy="Use policy 'mip'")
    choice, notes = _heuristic(problem, policy, target, seed)
    success, cost = measure(problem, choice)
    bound = _relaxation(problem)
    return Allocation(
        problem, choice, policy, "heuristic", success, cost, max(success, bound.bound / len(problem)), bound.price, notes=notes
    )


def _beyond_budget(problem: AllocationProblem) -> tuple[str, ...]:
    return (*problem.side_constraints, *(("forbidden or max_latency",) if problem.allowed is not None else ()))


def _heuristic(problem: AllocationProblem, policy: str, target: float, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    if policy == "threshold":
        answer = threshold(problem, target)
        return answer.choice, {"target": answer.target, "no_model_met_target": answer.no_model_met_target}
    mixture = ndch(problem, seed) if policy == "ndch" else ndch_p(problem)
    names = problem.models or ()
    return mixture.choice, {"lower": names[mixture.lower], "upper": names[mixture.upper], "upper_share": mixture.share}


def _refuse_hopeless_rows(problem: AllocationProblem) -> None:
    if problem.allowed is None:
        return
    hopeless = np.flatnonzero(~problem.allowed.any(axis=1))
    if hopeless.size:
        names = tuple(name for name in ("forbidden", "max_latency") if getattr(problem, name) is not None)
        raise InfeasibleConstraints(names, f"Row {hopeless[0]} is left without a model ({hopeless.size} such rows)")


def _relaxation(problem: AllocationProblem) -> Relaxation:
    value = problem.success.astype(np.float64)
    if problem.allowed is not None:
        value[~problem.allowed] = -np.inf
    cost = problem.cost_matrix.astype(np.float64)
    relaxation = relax(value, cost, problem.budget)
    if relaxation is None:
        masked = np.where(np.isneginf(value), np.inf, cost)
        raise InfeasibleBudget(problem.budget, float_not_below(exact_sum(masked.min(axis=1))))
    return relaxation


def _mip(problem: AllocationProblem) -> Allocation:
    if problem.side_constraints:
        raise NotImplementedError("side constraints are being built")
    relaxation = _relaxation(problem)
    choice = relaxation.choice
    success, cost = measure(problem, choice)
    if not within(exact_sum(problem.chosen(problem.cost_matrix, choice)), problem.budget):
        raise InfeasibleBudget(problem.budget, cost)
    bound = max(success, relaxation.bound / len(problem))
    binding = ("budget",) if relaxation.price > 0 else ()
    status = "optimal" if bound == success else "within_gap"
    return Allocation(
        problem, choice, "mip", status, success, cost, bound, relaxation.price, {"budget": relaxation.price}, binding
    )
