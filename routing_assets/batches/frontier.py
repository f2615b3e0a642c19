"""What more or less money would buy a batch: the frontier around its budget, as a table and a picture."""

from __future__ import annotations

import io

import numpy as np

from routing_assets.allocation import Allocation, AllocationProblem, Frontier, InfeasibleAllocation, frontier

FACTORS = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
_POINTS = 60
_BEYOND = 2.0
"""Times the dearest point of the frontier that is drawn; more money would hide it, and 1e308 USD break the axes."""


def whole_frontier(problem: AllocationProblem) -> Frontier | None:
    """The frontier's breakpoints, from one pass; None under side constraints, where no single pass gives them."""
    return None if problem.side_constraints else frontier(problem)


def around_budget(allocation: Allocation, curve: Frontier | None) -> list[dict[str, float]]:
    """Expected success at multiples of the batch's budget, where they can pay for the batch.

    Read off ``curve``, see :func:`whole_frontier`; where there is none, each budget is a solve of its own.
    """
    problem, rows = allocation.problem, []
    if not np.isfinite(FACTORS[-1] * problem.budget) or problem.budget == 0:
        return []
    for factor in FACTORS:
        budgets = [factor * problem.budget]
        try:
            point = frontier(problem, budgets) if curve is None else curve.at(budgets)
        except InfeasibleAllocation:
            continue
        rows.append(
            {
                "budget": factor,
                "budget_usd": float(point.budget[0]),
                "expected_success": float(point.expected_success[0]),
                "gain": float(point.expected_success[0]) - allocation.expected_success,
                "expected_successes_per_usd": float(point.shadow_price[0]),
            }
        )
    return rows


def draw_frontier(allocation: Allocation, curve: Frontier) -> bytes | None:
    """A PNG of the whole frontier with the batch on it; None where money has no limit."""
    problem = allocation.problem
    if not np.isfinite(problem.budget):
        return None
    from matplotlib.figure import Figure

    furthest = _BEYOND * curve.budget[-1]
    drawn_to = min(furthest, max(curve.budget[-1], problem.budget))
    points = curve.at(np.linspace(curve.budget[0], drawn_to, _POINTS))
    figure = Figure(figsize=(6.5, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(points.budget, points.upper_bound, color="tab:blue", label="best possible (expected)")
    axes.plot(allocation.total_cost, allocation.expected_success, "o", color="tab:red", label="this batch")
    single_cost = problem.cost_matrix.sum(axis=0, dtype=np.float64)
    axes.plot(single_cost, problem.success.mean(axis=0), "x", color="tab:gray", label="one model for all")
    if problem.budget <= furthest:
        axes.axvline(problem.budget, color="tab:red", linewidth=0.8, linestyle=":", label="budget")
    axes.set(xlabel="estimated cost of the batch, USD", ylabel="expected success")
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    return buffer.getvalue()
