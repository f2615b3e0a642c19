"""What second looks would have gained on labelled rows that neither the router nor the plan learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from routing_assets.allocation import AllocationProblem, InfeasibleBudget, allocate
from routing_assets.allocation.second_look import decide_second_round, plan_first_round
from routing_assets.prediction.calibration.temperatures import sigmoid
from routing_assets.prediction.panel_refit.networks import component_folds
from routing_assets.prediction.second_look import CrossFit, FirstModelQuality, Gain, second_look_of

FRACTIONS = tuple(round(0.1 * step, 1) for step in range(1, 11))
"""Budgets that are tried, as fractions of sending everything to the dearest model."""
FALSE_ALARM = 0.05
"""Probability that some budget seems to pay although none does."""


def second_look_gains(
    fit: CrossFit,
    quality: Sequence[FirstModelQuality],
    scaled: np.ndarray,
    success: np.ndarray,
    cost: np.ndarray,
    component: np.ndarray,
    seed: int = 0,
) -> tuple[Gain, ...]:
    """Carry out both rounds on n known rows: each half is planned by what the other half taught.

    Args:
        scaled: (n, K) scaled logits of the router.
        success: (n, K), NaN where unlabelled; rows whose decisions have no label do not count.
        cost: (n, K) USD.
        component: (n,) equal for related rows, which count as one observation.
    """
    half = component_folds(component, 2, seed)
    gains = {fraction: np.full(len(scaled), np.nan) for fraction in FRACTIONS}
    for part in (0, 1):
        rows, others = np.flatnonzero(half == part), np.flatnonzero(half != part)
        taught = second_look_of(fit, quality, scaled, cost, others)
        if taught is None or not len(rows):
            continue
        after = dict(zip(fit.posterior.first, fit.after[:, rows], strict=True))
        once = sigmoid(scaled[rows]), fit.without_answer[rows]
        for fraction in FRACTIONS:
            budget = fraction * float(cost[rows].sum(axis=0).max())
            singles = [_one_call(p, cost[rows], budget, success[rows]) for p in once]
            looks = taught.looks(sigmoid(scaled[rows]), cost[rows])
            try:
                plan = plan_first_round(once[0], cost[rows], budget, looks, taught.lookahead.first)
            except InfeasibleBudget:
                continue
            probability = once[0].copy()
            for name in taught.first:
                asked = np.flatnonzero(plan.choice == taught.models.index(name))
                probability[asked] = after[name][asked]
            spent = float(cost[rows, plan.choice].sum())
            final = decide_second_round(probability, cost[rows], plan.choice, budget - spent).choice
            achieved = success[rows, final]
            best = max((s for s in singles if s is not None), key=np.nanmean)
            gains[fraction][rows] = achieved - best
    return tuple(_gain(fraction, values, component) for fraction, values in gains.items())


def _one_call(probability: np.ndarray, cost: np.ndarray, budget: float, success: np.ndarray) -> np.ndarray | None:
    try:
        choice = allocate(AllocationProblem(probability, cost, budget)).choice
    except InfeasibleBudget:
        return None
    return np.asarray(success[np.arange(len(choice)), choice])


def _gain(fraction: float, values: np.ndarray, component: np.ndarray) -> Gain:
    """The mean, and its bound over clusters of related rows."""
    known = np.isfinite(values)
    cluster = np.unique(component[known], return_inverse=True)[1]
    if cluster.max(initial=-1) < 1:
        return Gain(fraction, 0.0, -1.0, int(known.sum()))
    mean = float(values[known].mean())
    sums = np.bincount(cluster, values[known] - mean)
    error = float(np.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / known.sum())
    z = NormalDist().inv_cdf(1 - FALSE_ALARM / len(FRACTIONS))
    return Gain(fraction, mean, mean - z * error, int(known.sum()))
