"""NDCH and NDCH(P): mix the two neighbouring vertices of the models' hull, under a hard budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from routing_assets.allocation.answer import Allocation
from routing_assets.allocation.errors import InfeasibleBudget
from routing_assets.allocation.heuristic import certified
from routing_assets.allocation.policy import Options, Policy
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.exact import exact_sum, float_not_below, within
from routing_assets.allocation.solver.hull import upper_hull


@dataclass(frozen=True, eq=False)
class Mixture:
    """A two-model mixture: ``share`` of the batch goes to ``upper``, the rest to ``lower`` (model indices)."""

    choice: np.ndarray
    lower: int
    upper: int
    share: float


def _decide_ndch(problem: AllocationProblem, options: Options) -> Allocation:
    return _allocation(problem, NDCH.name, ndch(problem, options.seed), options.seed)


def _decide_ndch_p(problem: AllocationProblem, options: Options) -> Allocation:
    return _allocation(problem, NDCH_P.name, ndch_p(problem), options.seed)


NDCH = Policy(
    "ndch",
    "The two neighbouring vertices of the non-decreasing convex hull of (cost, success), mixed at random.",
    _decide_ndch,
    ignores_side_constraints=True,
    ignores_pair_rules=True,
)
NDCH_P = Policy(
    "ndch_p",
    "The mixture of NDCH, the cheaper model getting the instructions it is most likely to get right.",
    _decide_ndch_p,
    ignores_side_constraints=True,
    ignores_pair_rules=True,
)


def ndch(problem: AllocationProblem, seed: int) -> Mixture:
    """Mix the two hull vertices around the budget, instructions drawn at random (seeded).

    The hull is over (mean cost, mean success) of the models. In random order instructions move to the dearer vertex as
    far as the budget really lasts, so per-instruction costs never overspend it. A budget above the dearest vertex gives
    everything to that vertex; one under the cheapest raises :class:`InfeasibleBudget`.
    """
    return _mix(problem, "ndch", lambda lower: np.random.default_rng(seed).permutation(len(problem)))


def ndch_p(problem: AllocationProblem) -> Mixture:
    """Mix as :func:`ndch`, but the cheaper model keeps the instructions it is most likely to get right."""
    return _mix(problem, "ndch_p", lambda lower: np.argsort(problem.success[:, lower], kind="stable"))


def _mix(problem: AllocationProblem, policy: str, order_of: Callable[[int], np.ndarray]) -> Mixture:
    """Move instructions from the lower to the upper vertex in ``order_of(lower)`` while the budget lasts."""
    cost = problem.cost_matrix
    totals = [exact_sum(column) for column in _columns(cost)]
    mean_success = problem.success.mean(axis=0, dtype=np.float64)
    hull = upper_hull(np.array([float(total) for total in totals]), mean_success)
    affordable = [int(k) for k in hull if within(totals[k], problem.budget)]
    if not affordable:
        raise InfeasibleBudget(problem.budget, float_not_below(totals[hull[0]]), policy=policy)
    lower = affordable[-1]
    choice = np.full(len(problem), lower)
    if lower == hull[-1]:
        return Mixture(choice, lower, lower, 1.0)
    upper = int(hull[len(affordable)])
    order = order_of(lower)
    extra = cost[order, upper].astype(np.float64) - cost[order, lower]
    fits = np.flatnonzero(float(totals[lower]) + np.cumsum(extra) <= problem.budget)
    count = int(fits[-1]) + 1 if fits.size else 0
    choice[order[:count]] = upper
    while not within(exact_sum(problem.chosen(cost, choice)), problem.budget):  # the float sum above may be an ulp out
        count -= 1
        choice[order[count]] = lower
    return Mixture(choice, lower, upper, count / len(problem))


def _columns(cost: np.ndarray) -> list[np.ndarray]:
    return [cost[:, k] for k in range(cost.shape[1])]


def _allocation(problem: AllocationProblem, policy: str, mixture: Mixture, seed: int) -> Allocation:
    names = problem.models or ()
    notes = {"lower": names[mixture.lower], "upper": names[mixture.upper], "upper_share": mixture.share}
    return certified(problem, policy, mixture.choice, seed=seed, notes=notes)
