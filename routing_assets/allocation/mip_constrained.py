"""Problems with side constraints: LP relaxation, exact core, and the reason if there is no answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from routing_assets.allocation.errors import UndecidedAllocation
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.infeasibility import cheapest_choice, explain, masked
from routing_assets.allocation.solver.near_the_relaxation import WholeNumbers, choose
from routing_assets.allocation.solver.relaxation import Relaxed, relax
from routing_assets.allocation.solver.rows import Row, broken, rows_of


@dataclass(frozen=True, eq=False)
class ConstrainedAnswer:
    """A choice that keeps every constraint, the shadow prices by row name, and their bound on total success."""

    choice: np.ndarray
    prices: dict[str, float]
    worth: np.ndarray
    bound: float
    proven: bool


def maximise_constrained(
    problem: AllocationProblem, *, seed: int, relative_gap: float, time_limit_s: float
) -> ConstrainedAnswer:
    """Maximise expected success under all constraints of a problem; raise the reason if that is impossible."""
    deadline = time.monotonic() + time_limit_s
    rows = rows_of(problem)
    value = masked(problem, problem.success.astype(np.float64))
    relaxed = relax(value, rows, seed)
    found = WholeNumbers(None, 0.0, proven=True)
    if relaxed.feasible:
        found = choose(value, rows, relaxed, relative_gap=relative_gap, seed=seed, time_limit_s=time_limit_s)
    if found.choice is None:
        found = _fall_back(problem, relaxed, found, seed, max(deadline - time.monotonic(), 5.0))
    assert found.choice is not None  # noqa: S101 - _fall_back raises otherwise
    prices = {row.name: float(price) for row, price in zip(rows, relaxed.prices, strict=True)}
    return ConstrainedAnswer(found.choice, prices, relaxed.worth, relaxed.bound, found.proven)


def _fall_back(
    problem: AllocationProblem, relaxed: Relaxed, found: WholeNumbers, seed: int, time_limit_s: float
) -> WholeNumbers:
    """Return the relaxation's choice, or else the cheapest one, if it keeps every constraint; else raise the reason."""
    rows = rows_of(problem)
    if not found.proven and not broken(rows, relaxed.choice, problem.n_models):
        return WholeNumbers(relaxed.choice, float(problem.chosen(problem.success, relaxed.choice).sum()), proven=False)
    cheapest = cheapest_choice(problem, seed=seed, time_limit_s=time_limit_s)
    if cheapest is not None and not found.proven and not broken(rows, cheapest, problem.n_models):
        return WholeNumbers(cheapest, float(problem.chosen(problem.success, cheapest).sum()), proven=False)
    if cheapest is None and not found.proven:
        raise UndecidedAllocation(
            f"no assignment was found in {time_limit_s:g} s and none was ruled out; raise time_limit_s or relax "
            f"{', '.join(problem.side_constraints)}"
        )
    raise explain(problem, cheapest, seed=seed, time_limit_s=time_limit_s)


def minimise_cost(
    problem: AllocationProblem, wanted: Fraction, *, seed: int, exact: bool, time_limit_s: float
) -> tuple[np.ndarray, float, float] | None:
    """Return (choice, lower bound in USD, USD per success) of the cheapest choice with total success >= ``wanted``.

    Keeps the problem's side constraints and ignores its budget. Returns None if no such choice exists.
    """
    target = Row("mean_success", -problem.success.astype(np.float64), -wanted)
    rows = [target, *(row for row in rows_of(problem) if row.name != "budget")]
    value = masked(problem, -problem.cost_matrix.astype(np.float64))
    relaxed = relax(value, rows, seed)
    if not relaxed.feasible:
        return None
    found = choose(value, rows, relaxed, relative_gap=0.0 if exact else 1e-4, seed=seed, time_limit_s=time_limit_s)
    if found.choice is None:
        if found.proven:
            return None
        raise UndecidedAllocation(f"no assignment was found in {time_limit_s:g} s; raise time_limit_s")
    return found.choice, -found.value if found.proven else -relaxed.bound, float(relaxed.prices[0])
