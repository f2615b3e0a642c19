"""The Pareto frontier of budget and expected success, and the least budget that reaches a wanted success."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from routing_assets.allocation.allocate import allocate, refuse_hopeless_rows
from routing_assets.allocation.answer import measure
from routing_assets.allocation.errors import InfeasibleBudget, InfeasibleTarget
from routing_assets.allocation.parts import slices
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.exact import exact_sum, float_not_below
from routing_assets.allocation.solver.hull import cheapest, hull_steps
from routing_assets.allocation.solver.knapsack import CapacityTooSmall, solve_knapsack
from routing_assets.allocation.solver.rows import decimal
from routing_assets.allocation.solver.source import Source
from routing_assets.foundation.errors import InvalidInput

_GAP = 1e-6


@dataclass(frozen=True, eq=False)
class Frontier:
    """Mean expected success by budget; all arrays are (P,), sorted by budget."""

    budget: np.ndarray
    """USD for the batch."""
    expected_success: np.ndarray
    """Mean expected success of an assignment within the budget."""
    upper_bound: np.ndarray
    """No assignment within the budget reaches more; what :func:`allocate` certifies at that budget."""
    shadow_price: np.ndarray
    """Expected successes of the batch per extra USD."""
    instructions: int
    """Number of instructions in the batch."""

    def at(self, budgets: Sequence[float] | np.ndarray) -> Frontier:
        """Return other points of a frontier of breakpoints; raises :class:`InfeasibleBudget` below the least budget."""
        grid = np.sort(np.asarray(budgets, np.float64))
        if grid[0] < self.budget[0]:
            raise InfeasibleBudget(float(grid[0]), float(self.budget[0]))
        at = np.searchsorted(self.budget, grid, side="right") - 1
        reached, price = self.expected_success[at], self.shadow_price[at]
        with np.errstate(invalid="ignore"):  # an infinite budget: 0 x inf
            beyond = np.nan_to_num(price * (grid - self.budget[at]))
        return Frontier(grid, reached, reached + beyond / self.instructions, price, self.instructions)


def frontier(problem: AllocationProblem, budgets: Sequence[float] | np.ndarray | None = None) -> Frontier:
    """Return the best expected success at each of ``budgets``, or by default at every breakpoint of the curve.

    ``problem.budget`` is ignored. Without side constraints one pass gives all budgets: the frontier is the steps of the
    instructions' convex hulls, most efficient first. With side constraints each budget is solved by itself, to within
    1e-4 of its bound, and ``budgets`` must be given. A budget below the cheapest assignment raises
    :class:`InfeasibleBudget`.
    """
    refuse_hopeless_rows(problem)
    if problem.side_constraints:
        if budgets is None:
            raise InvalidInput("a frontier under side constraints has no list of breakpoints", remedy="Give budgets")
        grid = np.sort(np.asarray(budgets, np.float64))
        # Closer to the bound a budget may take half a minute, for a gain of a millionth.
        answers = [allocate(replace(problem, budget=float(budget)), relative_gap=1e-4) for budget in grid]
        fields = ("expected_success", "upper_bound", "shadow_price")
        success, bound, price = (np.array([getattr(answer, name) for answer in answers]) for name in fields)
        return Frontier(grid, success, bound, price, len(problem))
    value, weight = problem.success, problem.cost_matrix
    if problem.allowed is not None:
        value = np.where(problem.allowed, value, np.array(-np.inf, value.dtype))
    start = cheapest(value, weight)
    steps = hull_steps(value, weight, start)
    least = exact_sum(problem.chosen(weight, start))
    spent = np.concatenate([[float_not_below(least)], float(least) + np.cumsum(steps.weight)])
    base = math.fsum(problem.chosen(value, start))
    reached = np.concatenate([[base], base + np.cumsum(steps.value)]) / len(problem)
    efficiency = np.concatenate([steps.efficiency, [0.0]])
    breakpoints = Frontier(spent, reached, reached, efficiency, len(problem))
    return breakpoints if budgets is None else breakpoints.at(budgets)


@dataclass(frozen=True, eq=False)
class LeastBudget:
    """The least budget that reaches a wanted mean success, and an assignment that does so."""

    budget: float
    """USD; the assignment costs exactly this, rounded up to a float."""
    lower_bound: float
    """USD; no cheaper assignment reaches the target."""
    expected_success: float
    """Mean; at least the target, compared without rounding."""
    choice: np.ndarray
    """(N,) index into the problem's models."""
    price_of_success: float
    """USD per additional expected success, at the margin."""

    @property
    def gap(self) -> float:
        """Relative distance to the lower bound."""
        return max(0.0, self.budget - self.lower_bound) / self.budget if self.budget > 0 else 0.0


def least_budget(
    problem: AllocationProblem, mean_success: float, *, seed: int = 0, exact: bool = False, time_limit_s: float = 60.0
) -> LeastBudget:
    """Return the cheapest assignment whose mean expected success is at least ``mean_success``.

    ``problem.budget`` is ignored; side constraints are kept. Solved as a knapsack in which cost and success change
    places: maximise -cost with -success <= -target. Raises :class:`InfeasibleTarget` if no budget suffices.
    """
    refuse_hopeless_rows(problem)
    wanted = decimal(mean_success) * len(problem)
    if problem.side_constraints:
        choice, bound, price = _constrained(problem, wanted, mean_success, seed, exact, time_limit_s)
    else:
        swapped = -problem.cost_matrix, -problem.success, problem.allowed
        source = Source(slices(*swapped), problem.n_models, seed, whole=swapped)
        try:
            answer = solve_knapsack(source, -wanted, relative_gap=0.0 if exact else _GAP, time_limit_s=time_limit_s)
        except CapacityTooSmall as short:
            raise InfeasibleTarget(mean_success, float(-short.least / len(problem))) from None
        choice, price = answer.rule.choose(0, swapped), answer.price
        bound = float(-answer.value) - (0.0 if answer.proven else answer.loss)
    success, cost_usd = measure(problem, choice)
    return LeastBudget(cost_usd, max(0.0, min(bound, cost_usd)), success, choice, price)


def _constrained(
    problem: AllocationProblem, wanted: Fraction, mean_success: float, seed: int, exact: bool, time_limit_s: float
) -> tuple[np.ndarray, float, float]:
    from routing_assets.allocation.mip_constrained import minimise_cost

    answer = minimise_cost(problem, wanted, seed=seed, exact=exact, time_limit_s=time_limit_s)
    if answer is None:
        best = allocate(replace(problem, budget=math.inf), seed=seed, time_limit_s=time_limit_s)
        raise InfeasibleTarget(mean_success, best.expected_success)
    return answer
