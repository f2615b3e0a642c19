"""How good a router is over its whole range of budgets.

Sources: non-decreasing convex hull, zero router and AIQ from RouterBench (Hu et al., 2024); PGR, APGR and CPT from
RouteLLM (Ong et al., 2024). Costs are in any one unit (USD, or a share of the dearest model's spend).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from routing_assets.allocation.solver.hull import upper_hull

_ROUNDING = 1e-9  # relative error of sums that add the same terms in another order


def non_decreasing_hull(cost: np.ndarray, success: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (cost, success) of the non-decreasing upper convex hull of P points, cheapest first.

    Starts at the cheapest point (the best of them on a tie) and ends at the most successful one (the cheapest on a
    tie). Mixing its two ends at random reaches any point of a segment; beyond the last vertex the hull is flat.
    """
    vertices = upper_hull(cost, success)
    return cost[vertices], success[vertices]


def hull_success(hull: tuple[np.ndarray, np.ndarray], budget: np.ndarray | float) -> np.ndarray:
    """Success of the zero router on a hull at each budget; NaN under the cheapest vertex, flat beyond the last."""
    return np.interp(budget, hull[0], hull[1], left=np.nan)


def hull_mixture(cost: np.ndarray, success: np.ndarray, budget: float) -> np.ndarray:
    """(K,) share of the calls that the zero router gives each of K models at a mean cost of ``budget`` per call.

    Raises ValueError if the budget is under the cheapest model.
    """
    model = upper_hull(cost, success)
    hull_cost = cost[model]
    if budget < hull_cost[0]:
        raise ValueError(f"budget {budget:g} is under the cheapest model's mean cost {hull_cost[0]:g}")
    share = np.zeros(len(cost))
    right = int(np.searchsorted(hull_cost, budget, side="right"))
    if right == len(hull_cost):
        share[model[-1]] = 1.0
        return share
    dear = (budget - hull_cost[right - 1]) / (hull_cost[right] - hull_cost[right - 1])
    share[model[right - 1]], share[model[right]] = 1.0 - dear, dear
    return share


@dataclass(frozen=True)
class AIQ:
    """Average improvement in quality: mean height of a router's hull over the range of costs, in both normalisations.

    ``paper`` averages over [cheapest model, dearest model]; ``code`` is what RouterBench's program computes: the area
    from the curve's own cheapest point on, divided by the dearest cost (so a gap on the left counts as zero).
    """

    paper: float
    code: float


def aiq(cost: np.ndarray, success: np.ndarray, cost_min: float, cost_max: float) -> AIQ:
    """AIQ of the curve through P (cost, success) points; the hull is extended flat to ``cost_max``.

    For ``paper`` the curve is worth nothing between ``cost_min`` and its own cheapest point, so give it the cheapest
    model as a point: every router can send everything there. Where all models cost the same, ``paper`` is the height.
    """
    hull = non_decreasing_hull(cost, success)
    span = cost_max - cost_min
    return AIQ(
        paper=(
            _area(hull, max(cost_min, hull[0][0]), cost_max) / span if span > 1e-9 * cost_max else float(hull[1][-1])
        ),
        code=_area(hull, hull[0][0], cost_max) / cost_max,
    )


def cost_to_reach(cost: np.ndarray, success: np.ndarray, wanted: float) -> float | None:
    """Least cost at which a curve, linear between its points, reaches ``wanted`` success; None if it never does."""
    order = np.argsort(cost, kind="stable")
    cost, success = np.asarray(cost, float)[order], np.asarray(success, float)[order]
    reached = np.flatnonzero(success >= wanted * (1 - _ROUNDING))
    if not reached.size:
        return None
    first = int(reached[0])
    if first == 0:
        return float(cost[0])
    rise = min(1.0, (wanted - success[first - 1]) / (success[first] - success[first - 1]))
    return float(cost[first - 1] + rise * (cost[first] - cost[first - 1]))


@dataclass(frozen=True)
class GapRecovered:
    """How much of the gap between a weak and a strong model a router recovers (two-model tables only).

    ``apgr``: performance gap recovered, averaged over the share of strong calls (0 = weak alone, .5 = random, 1 =
    strong at no cost). ``cpt50``, ``cpt80``: share of strong calls that recovers 50 % and 80 % of the gap.
    """

    apgr: float | None
    cpt50: float | None
    cpt80: float | None


def gap_recovered(strong_share: np.ndarray, success: np.ndarray, weak: float, strong: float) -> GapRecovered:
    """APGR and CPT of a curve of (share of calls to the strong model, success); the two models alone are its ends."""
    share = np.concatenate([[0.0], strong_share, [1.0]])
    pgr = (np.concatenate([[weak], success, [strong]]) - weak) / (strong - weak)
    order = np.argsort(share, kind="stable")
    share, pgr = share[order], pgr[order]
    return GapRecovered(
        apgr=float(np.trapezoid(pgr, share)),
        cpt50=cost_to_reach(share, pgr, 0.5),
        cpt80=cost_to_reach(share, pgr, 0.8),
    )


def _area(hull: tuple[np.ndarray, np.ndarray], low: float, high: float) -> float:
    """Area under a hull between two costs, flat to the right."""
    if low >= high:
        return 0.0
    inner = hull[0][(hull[0] > low) & (hull[0] < high)]
    cost = np.concatenate([[low], inner, [high]])
    return float(np.trapezoid(hull_success(hull, cost), cost))
