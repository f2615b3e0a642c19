"""The one entry point: solve a problem by a policy and certify the answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from routing_assets.allocation.answer import Allocation, measure
from routing_assets.allocation.bracket import bracket_price
from routing_assets.allocation.errors import InfeasibleBudget, InfeasibleConstraints
from routing_assets.allocation.exact import float_not_below
from routing_assets.allocation.knapsack import CapacityTooSmall, KnapsackAnswer, solve_knapsack
from routing_assets.allocation.ndch import ndch, ndch_p
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.threshold import threshold
from routing_assets.errors import InvalidInput

POLICIES = ("threshold", "ndch", "ndch_p", "mip")
RELATIVE_GAP = 1e-6
_SAMPLE_ROWS = 1 << 15


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
        return _mip(problem, seed, exact, time_limit_s)
    unsupported = problem.side_constraints if policy == "threshold" else _beyond_budget(problem)
    if unsupported:
        raise InvalidInput(f"policy '{policy}' cannot keep {', '.join(unsupported)}", remedy="Use policy 'mip'")
    choice, notes = _heuristic(problem, policy, target, seed)
    success, cost = measure(problem, choice)
    best = _knapsack(problem, seed, relative_gap=math.inf, time_limit_s=time_limit_s)
    bound = max(success, measure(problem, best.choice)[0] + best.loss / len(problem))
    return Allocation(problem, choice, policy, "heuristic", success, cost, bound, best.price, notes=notes)


def _beyond_budget(problem: AllocationProblem) -> tuple[str, ...]:
    pairs = tuple(name for name in ("forbidden", "max_latency") if getattr(problem, name) is not None)
    return (*problem.side_constraints, *pairs)


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


def _knapsack(problem: AllocationProblem, seed: int, relative_gap: float, time_limit_s: float) -> KnapsackAnswer:
    value, weight, allowed = problem.success, problem.cost_matrix, problem.allowed
    n, bracket = len(problem), (0.0, math.inf)
    if n > 2 * _SAMPLE_ROWS and math.isfinite(problem.budget):
        rows = np.sort(np.random.default_rng(seed).choice(n, _SAMPLE_ROWS, replace=False))
        sampled = value[rows].astype(np.float64)
        if allowed is not None:
            sampled[~allowed[rows]] = -np.inf
        bracket = bracket_price(sampled, weight[rows].astype(np.float64), n, problem.budget)
    try:
        return solve_knapsack(
            [(value, weight, allowed)],
            n,
            problem.budget,
            bracket,
            relative_gap=relative_gap,
            time_limit_s=time_limit_s,
            dtype=np.result_type(value, weight),
        )
    except CapacityTooSmall as short:
        raise InfeasibleBudget(problem.budget, float_not_below(short.least)) from None


def _mip(problem: AllocationProblem, seed: int, exact: bool, time_limit_s: float) -> Allocation:
    if problem.side_constraints:
        raise NotImplementedError("side constraints are being built")
    answer = _knapsack(problem, seed, 0.0 if exact else RELATIVE_GAP, time_limit_s)
    success, cost = measure(problem, answer.choice)
    bound = success if answer.proven else success + answer.loss / len(problem)
    status = "optimal" if answer.proven else "within_gap" if bound - success <= RELATIVE_GAP * bound else "time_limit"
    binding = ("budget",) if answer.price > 0 else ()
    prices = {"budget": answer.price}
    return Allocation(
        problem, answer.choice, "mip", status, success, cost, bound, answer.price, prices=prices, binding=binding
    )
