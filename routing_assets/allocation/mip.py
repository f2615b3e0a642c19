"""The MIP policy: maximise expected success within the budget and all constraints, with a proven gap."""

from __future__ import annotations

from routing_assets.allocation.answer import Allocation, measure
from routing_assets.allocation.mip_one_budget import maximise_within_budget
from routing_assets.allocation.policy import Options, Plan, Policy
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.source import Source

_GAP = 1e-6
_CONSTRAINED_GAP = 1e-4
_SMALL = 400  # pairs; up to so many the optimum takes no longer than a good answer


def _plan(source: Source, budget: float, options: Options) -> Plan:
    relative_gap = _wanted_gap(options, _GAP)
    answer = maximise_within_budget(source, budget, relative_gap=relative_gap, time_limit_s=options.time_limit_s)
    success = float(answer.value / source.rows)
    bound = success if answer.proven else success + answer.loss / source.rows
    status = _status(success, bound, answer.proven, relative_gap)
    return Plan(answer.rule, status, bound, answer.price, ("budget",) if answer.price > 0 else ())


MIP = Policy(
    "mip",
    "The most expected successes within the budget, with a proof of how near the optimum it is.",
    _plan,
    library="ortools",
)


def maximise_under_constraints(problem: AllocationProblem, options: Options) -> Allocation:
    """Maximise expected success within the budget and the side constraints, in memory."""
    from routing_assets.allocation.mip_constrained import maximise_constrained  # OR-Tools loads only where needed

    relative_gap = _wanted_gap(options, _GAP if problem.success.size <= _SMALL else _CONSTRAINED_GAP)
    answer = maximise_constrained(
        problem, seed=options.seed, relative_gap=relative_gap, time_limit_s=options.time_limit_s
    )
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


def _wanted_gap(options: Options, usual: float) -> float:
    if options.exact:
        return 0.0
    return usual if options.relative_gap is None else options.relative_gap


def _status(success: float, bound: float, proven: bool, relative_gap: float) -> str:
    if proven:
        return "optimal"
    if bound - success <= relative_gap * bound + 1e-12:
        return "within_gap"
    return "time_limit" if relative_gap == 0 else "feasible"
