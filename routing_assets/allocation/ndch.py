"""NDCH and NDCH(P): mix two neighbouring vertices of the models' non-decreasing convex hull, under a hard budget."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from routing_assets.allocation.errors import InfeasibleBudget
from routing_assets.allocation.heuristic import certified
from routing_assets.allocation.mixture import Mixture, MovedRule, Order, furthest_cut
from routing_assets.allocation.policy import Options, Plan, Policy
from routing_assets.allocation.solver.exact import exact_sum, float_not_below, within
from routing_assets.allocation.solver.hull import upper_hull
from routing_assets.allocation.solver.source import Located, Source

_LISTED = 1 << 24
"""Most rows that the driver sorts itself; in larger batches the cut is searched by sweeps."""


def _plan_ndch(source: Source, budget: float, options: Options) -> Plan:
    """Mix the two hull vertices around the budget, instructions drawn at random (seeded).

    The hull is over (mean cost, mean success) of the models. Instructions move to the dearer vertex in random order, at
    their own costs, until the budget is used up; so it is never overspent. A budget above the dearest vertex gives
    everything to that vertex; one below the cheapest raises :class:`InfeasibleBudget`.
    """
    return _certified(source, budget, _mixture(source, budget, NDCH.name, Order(options.seed)))


def _plan_ndch_p(source: Source, budget: float, options: Options) -> Plan:
    """Mix as NDCH does, but let the cheaper model keep the instructions it is most likely to get right."""
    return _certified(source, budget, _mixture(source, budget, NDCH_P.name, Order(None)))


NDCH = Policy(
    "ndch",
    "The two neighbouring vertices of the non-decreasing convex hull of (cost, success), mixed at random.",
    _plan_ndch,
    ignores_side_constraints=True,
    ignores_pair_rules=True,
)
NDCH_P = Policy(
    "ndch_p",
    "The mixture of NDCH, the cheaper model getting the instructions it is most likely to get right.",
    _plan_ndch_p,
    ignores_side_constraints=True,
    ignores_pair_rules=True,
)


def _certified(source: Source, budget: float, mixture: Mixture) -> Plan:
    notes = {
        "lower": source.names[mixture.lower],
        "upper": source.names[mixture.upper],
        "upper_share": mixture.moved / source.rows,
    }
    return certified(source, budget, mixture.rule, notes)


def _mixture(source: Source, budget: float, policy: str, order: Order) -> Mixture:
    """Move instructions from the lower to the upper vertex, in an order, while the budget lasts."""
    totals, mean_success = _models(source)
    hull = upper_hull(np.array([float(total) for total in totals]), mean_success)
    affordable = [int(k) for k in hull if within(totals[k], budget)]
    if not affordable:
        raise InfeasibleBudget(budget, float_not_below(totals[hull[0]]), policy=policy)
    lower = affordable[-1]
    if lower == hull[-1]:
        return Mixture(MovedRule(lower, lower, np.empty(0, bool)), source.rows)
    upper = int(hull[len(affordable)])
    if source.rows > _LISTED:
        return furthest_cut(source, order, lower, upper, totals[lower], budget)
    return _listed(source, order, lower, upper, totals[lower], budget)


def _listed(source: Source, order: Order, lower: int, upper: int, start: Fraction, budget: float) -> Mixture:
    """Move the rows one after another, with both costs of all rows in memory."""
    columns = list(source.sweep(_columns_of, lower, upper))
    success, cost_lower, cost_upper = (np.concatenate(column) for column in zip(*columns, strict=True))
    listed = order.listed(success)
    extra = cost_upper[listed].astype(np.float64) - cost_lower[listed]
    fits = np.flatnonzero(float(start) + np.cumsum(extra) <= budget)
    count = int(fits[-1]) + 1 if fits.size else 0
    spent = start + exact_sum(cost_upper[listed[:count]]) - exact_sum(cost_lower[listed[:count]])
    while not within(spent, budget):  # the float sum above may be an ulp out
        count -= 1
        spent -= Fraction(float(cost_upper[listed[count]])) - Fraction(float(cost_lower[listed[count]]))
    moved = np.zeros(source.rows, bool)
    moved[listed[:count]] = True
    return Mixture(MovedRule(lower, upper, moved), count)


def _columns_of(located: Located, lower: int, upper: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return success with the lower model, and the costs of the lower and the upper model."""
    success, cost, _ = located.read()
    return success[:, lower].copy(), cost[:, lower].copy(), cost[:, upper].copy()


def _models(source: Source) -> tuple[Sequence[Fraction], np.ndarray]:
    """Return the exact total cost and the mean success of each model on all rows.

    Where all rows fit in memory the mean is a float sum in row order, which keeps earlier decisions replayable; in
    larger batches it is exact.
    """
    if source.rows <= source.most_rows:
        rows = source.gathered()
        return _totals(rows[1]), rows[0].mean(axis=0, dtype=np.float64)
    parts = list(source.sweep(_totals_part))
    cost, success = (
        [sum((part[which][k] for part in parts), Fraction(0)) for k in range(source.columns)] for which in (0, 1)
    )
    return cost, np.array([float(total / source.rows) for total in success])


def _totals_part(located: Located) -> tuple[list[Fraction], list[Fraction]]:
    success, cost, _ = located.read()
    return _totals(cost), _totals(success)


def _totals(pairs: np.ndarray) -> list[Fraction]:
    """Return the exact sum of each column; a price that is the same in all rows is multiplied, not added up."""
    if pairs.strides[0] == 0 and len(pairs):
        return [Fraction(float(entry)) * len(pairs) for entry in pairs[0]]
    return [exact_sum(pairs[:, k]) for k in range(pairs.shape[1])]
