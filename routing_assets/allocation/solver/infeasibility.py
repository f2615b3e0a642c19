"""Why a problem is infeasible: the least feasible budget, or a minimal set of contradictory constraints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from routing_assets.allocation.errors import InfeasibleAllocation, InfeasibleBudget, InfeasibleConstraints
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.exact import exact_sum, float_not_below
from routing_assets.allocation.solver.near_the_relaxation import choose
from routing_assets.allocation.solver.relaxation import Relaxed, relax
from routing_assets.allocation.solver.rows import Row, rows_of

_PAIR_RULES = ("forbidden", "max_latency")


def cheapest_choice(problem: AllocationProblem, *, seed: int, time_limit_s: float) -> np.ndarray | None:
    """Return the cheapest choice (to 1e-4) that keeps all constraints but the budget; None where none was found."""
    rows = [row for row in rows_of(problem) if row.name != "budget"]
    price = masked(problem, -problem.cost_matrix.astype(np.float64))
    relaxed = relax(price, rows, seed)
    if not relaxed.feasible:
        return None
    gap = 0.0 if price.size <= 400 else 1e-4
    return choose(price, rows, relaxed, relative_gap=gap, seed=seed, time_limit_s=time_limit_s).choice


def explain(
    problem: AllocationProblem, cheapest: np.ndarray | None, *, seed: int, time_limit_s: float
) -> InfeasibleAllocation:
    """Return the exception that says why the problem has no answer."""
    if cheapest is not None:
        least = float_not_below(exact_sum(problem.chosen(problem.cost_matrix, cheapest)))
        return InfeasibleBudget(problem.budget, least, constraints=problem.side_constraints)
    return InfeasibleConstraints(_conflict(problem, seed, time_limit_s))


def masked(problem: AllocationProblem, value: np.ndarray) -> np.ndarray:
    """Return (N, K) ``value`` with -inf where a pair is not allowed."""
    return value if problem.allowed is None else np.where(problem.allowed, value, -np.inf)


def _conflict(problem: AllocationProblem, seed: int, time_limit_s: float) -> tuple[str, ...]:
    """Return a minimal contradictory set: drop constraints one by one, keep those without which an answer exists."""
    rows = [row for row in rows_of(problem) if row.name != "budget"]
    pair_rules = [name for name in _PAIR_RULES if getattr(problem, name) is not None]
    suspects = [*pair_rules, *dict.fromkeys(_constraint(row) for row in rows)]

    def contradictory(names: list[str]) -> Relaxed | None:
        part = replace(
            problem,
            forbidden=problem.forbidden if "forbidden" in names else None,
            max_latency=problem.max_latency if "max_latency" in names else None,
        )
        kept = [row for row in rows if _constraint(row) in names]
        value = masked(part, problem.success.astype(np.float64))
        relaxed = relax(value, kept, seed)
        if not relaxed.feasible:
            return relaxed
        found = choose(value, kept, relaxed, relative_gap=1.0, seed=seed, time_limit_s=time_limit_s)
        return relaxed if found.choice is None and found.proven else None

    everything = contradictory(suspects)
    if everything is not None and not everything.feasible:  # rows without a price are not part of the proof
        priced = {_constraint(row) for row, price in zip(rows, everything.prices, strict=True) if price > 0}
        fewer = [name for name in suspects if name in priced or name in pair_rules]
        suspects = fewer if contradictory(fewer) else suspects
    return tuple(_filtered(suspects, contradictory))


def _filtered(suspects: list[str], contradictory: Callable[[list[str]], Relaxed | None]) -> list[str]:
    needed = list(suspects)
    for name in suspects:
        without = [other for other in needed if other != name]
        if without and contradictory(without) is not None:
            needed = without
    return needed


def _constraint(row: Row) -> str:
    """Return the name of the constraint a row belongs to: all rows of ``max_group_gap`` are one constraint."""
    return "max_group_gap" if row.level else row.name
