"""The MIP policy: the most expected successes within the budget and all constraints, with a proof of how near it is."""

from __future__ import annotations

from routing_assets.allocation.answer import Allocation, measure
from routing_assets.allocation.mip_one_budget import maximise_within_budget
from routing_assets.allocation.policy import Options, Policy
from routing_assets.allocation.problem import AllocationProblem

_GAP = 1e-6
_CONSTRAINED_GAP = 1e-4
_SMALL = 400  # pairs: up to here the optimum costs no more than a good answer


def _decide(problem: AllocationProblem, options: Options) -> Allocation:
    relative_gap = 0.0 if options.exact else options.relative_gap
    if problem.side_constraints:
        return _constrained(problem, options.seed, relative_gap, options.time_limit_s)
    return _one_budget(problem, options.seed, _GAP if relative_gap is None else relative_gap, options.time_limit_s)


MIP = Policy(
    "mip",
    "The most expected successes within the budget, with a proof of how near the optimum it is.",
    _decide,
    library="ortools",
)


def _one_budget(problem: AllocationProblem, seed: int, relative_gap: float, time_limit_s: float) -> Allocation:
    answer = maximise_within_budget(problem, seed=seed, relative_gap=relative_gap, time_limit_s=time_limit_s)
    success, cost = measure(problem, answer.choice)
    bound = success if answer.proven else success + answer.loss / len(problem)
    return Allocation(
        problem,
        answer.choice,
        MIP.name,
        _status(success, bound, answer.proven, relative_gap),
        success,
        cost,
        bound,
        answer.price,
        prices={"budget": answer.price},
        binding=("budget",) if answer.price > 0 else (),
    )


def _constrained(problem: AllocationProblem, seed: int, relative_gap: float | None, time_limit_s: float) -> Allocation:
    from routing_assets.allocation.mip_constrained import maximise_constrained  # OR-Tools loads only where needed

    if relative_gap is None:
        relative_gap = _GAP if problem.success.size <= _SMALL else _CONSTRAINED_GAP
    answer = maximise_constrained(problem, seed=seed, relative_gap=relative_gap, time_limit_s=time_limit_s)
    success, cost = measure(problem, answer.choice)
    bound = success if answer.proven else max(success, answer.bound / len(problem))
    return Allocation(
        problem,
        answer.choice,
        MIP.name,
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
