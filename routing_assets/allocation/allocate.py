"""The one entry point: solve a problem by a policy and certify the answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from routing_assets.allocation.answer import Allocation, measure
from routing_assets.allocation.errors import InfeasibleBudget, InfeasibleConstraints
from routing_assets.allocation.exact import float_not_below
from routing_assets.allocation.knapsack import CapacityTooSmall, KnapsackAnswer
from routing_assets.allocation.ndch import ndch, ndch_p
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.single_budget import maximise
from routing_assets.allocation.threshold import threshold
from routing_assets.errors import InvalidInput

POLICIES = ("threshold", "ndch", "ndch_p", "mip")
_GAP = 1e-6
_CONSTRAINED_GAP = 1e-4
_SMALL = 400  # pairs: up to here the optimum costs no more than a good answer


def allocate(
    problem: AllocationProblem,
    policy: str = "mip",
    *,
    target: float = 0.75,
    seed: int = 0,
    exact: bool = False,
    time_limit_s: float = 60.0,
    relative_gap: float | None = None,
) -> Allocation:
    """Assign every instruction of the batch to one model without ever exceeding the budget in estimated cost.

    ``policy`` is one of ``threshold`` (with ``target``), ``ndch`` (random mixture, with ``seed``), ``ndch_p`` and
    ``mip``. ``mip`` maximises expected success under all constraints and proves how close it is: to ``relative_gap``
    (default 1e-6, with side constraints on more than a few hundred pairs 1e-4), or with ``exact`` to optimality;
    ``status`` says so where ``time_limit_s`` ended it first.

    Raises :class:`InfeasibleBudget` or :class:`InfeasibleConstraints` with the reason.
    """
    if policy not in POLICIES:
        raise InvalidInput(f"unknown policy '{policy}'", remedy=f"Known: {', '.join(POLICIES)}")
    refuse_hopeless_rows(problem)
    if policy != "mip":
        return _heuristic(problem, policy, target, seed)
    if exact:
        relative_gap = 0.0
    if problem.side_constraints:
        return _constrained(problem, seed, relative_gap, time_limit_s)
    return _single_budget(problem, seed, _GAP if relative_gap is None else relative_gap, time_limit_s)


def _single_budget(problem: AllocationProblem, seed: int, relative_gap: float, time_limit_s: float) -> Allocation:
    answer = _knapsack(problem, seed, relative_gap, time_limit_s)
    success, cost = measure(problem, answer.choice)
    bound = success if answer.proven else success + answer.loss / len(problem)
    return Allocation(
        problem,
        answer.choice,
        "mip",
        _status(success, bound, answer.proven, relative_gap),
        success,
        cost,
        bound,
        answer.price,
        prices={"budget": answer.price},
        binding=("budget",) if answer.price > 0 else (),
    )


def _constrained(problem: AllocationProblem, seed: int, relative_gap: float | None, time_limit_s: float) -> Allocation:
    from routing_assets.allocation.many_constraints import maximise_constrained  # OR-Tools loads only where needed

    if relative_gap is None:
        relative_gap = _GAP if problem.success.size <= _SMALL else _CONSTRAINED_GAP
    answer = maximise_constrained(problem, seed=seed, relative_gap=relative_gap, time_limit_s=time_limit_s)
    success, cost = measure(problem, answer.choice)
    bound = success if answer.proven else max(success, answer.bound / len(problem))
    return Allocation(
        problem,
        answer.choice,
        "mip",
        _status(success, bound, answer.proven, relative_gap),
        success,
        cost,
        bound,
        answer.prices.get("budget", 0.0),
        prices=answer.prices,
        binding=tuple(name for name, price in answer.prices.items() if price > 1e-12),
        potential=answer.worth,
    )


def _status(success: float, bound: float, proven: bool, relative_gap: float) -> str:
    if proven:
        return "optimal"
    if bound - success <= relative_gap * bound + 1e-12:
        return "within_gap"
    return "time_limit" if relative_gap == 0 else "feasible"


def _heuristic(problem: AllocationProblem, policy: str, target: float, seed: int) -> Allocation:
    if unsupported := unsupported_constraints(problem, policy):
        raise InvalidInput(f"policy '{policy}' cannot keep {', '.join(unsupported)}", remedy="Use policy 'mip'")
    notes: dict[str, Any]
    if policy == "threshold":
        answer = threshold(problem, target)
        choice = answer.choice
        notes = {"target": answer.target, "no_model_met_target": answer.no_model_met_target}
    else:
        mixture = ndch(problem, seed) if policy == "ndch" else ndch_p(problem)
        choice, names = mixture.choice, problem.models or ()
        notes = {"lower": names[mixture.lower], "upper": names[mixture.upper], "upper_share": mixture.share}
    success, cost = measure(problem, choice)
    best = _knapsack(problem, seed, relative_gap=math.inf, time_limit_s=math.inf)
    bound = max(success, measure(problem, best.choice)[0] + best.loss / len(problem))
    prices = {"budget": best.price}
    return Allocation(
        problem, choice, policy, "heuristic", success, cost, bound, best.price, prices=prices, notes=notes
    )


def unsupported_constraints(problem: AllocationProblem, policy: str) -> tuple[str, ...]:
    """The constraints in use that a policy cannot keep: its fields of the problem."""
    if policy == "mip":
        return ()
    pair_rules = tuple(name for name in ("forbidden", "max_latency") if getattr(problem, name) is not None)
    return problem.side_constraints + (() if policy == "threshold" else pair_rules)


def _knapsack(problem: AllocationProblem, seed: int, relative_gap: float, time_limit_s: float) -> KnapsackAnswer:
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


def refuse_hopeless_rows(problem: AllocationProblem) -> None:
    """Raise where some instruction has no model left, naming the one rule that bars them all, or both."""
    if problem.allowed is None:
        return
    alone = (
        (("forbidden",), replace(problem, max_latency=None)),
        (("max_latency",), replace(problem, forbidden=None)),
        (("forbidden", "max_latency"), problem),
    )
    if problem.allowed.any(axis=1).all():
        return
    for names, part in alone:
        hopeless = np.flatnonzero(~part.allowed.any(axis=1)) if part.allowed is not None else np.empty(0, int)
        if hopeless.size:
            raise InfeasibleConstraints(names, f"Row {hopeless[0]} is left without a model ({hopeless.size} such rows)")
