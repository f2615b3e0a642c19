"""What second looks would have gained on labelled rows that neither the router nor the plan learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from routing_assets.allocation import AllocationProblem, InfeasibleBudget, allocate
from routing_assets.prediction.calibration.temperatures import sigmoid
from routing_assets.prediction.panel_refit.networks import component_folds
from routing_assets.prediction.second_look import (
    CrossFit,
    Gain,
    TriedRounds,
    carry_out,
    judge_gains,
    second_look_of,
)

FRACTIONS = tuple(round(0.1 * step, 1) for step in range(1, 11))
"""Budgets that are tried, as fractions of sending everything to the dearest model."""


def second_look_gains(
    fit: CrossFit,
    first: Sequence[str],
    scaled: np.ndarray,
    success: np.ndarray,
    cost: np.ndarray,
    component: np.ndarray,
    seed: int = 0,
) -> tuple[Gain, ...]:
    """Carry out both rounds on n known rows: each half is planned by what the other half taught.

    Args:
        first: the models whose answers are looked at.
        scaled: (n, K) scaled logits of the router.
        success: (n, K), NaN where unlabelled; rows whose decisions have no label do not count.
        cost: (n, K) USD.
        component: (n,) equal for related rows, which count as one observation.
    """
    half, alone, models = component_folds(component, 2, seed), sigmoid(scaled), fit.posterior.models
    gain = np.full((len(FRACTIONS), len(scaled)), np.nan)
    for part in (0, 1):
        rows, others = np.flatnonzero(half == part), np.flatnonzero(half != part)
        taught = second_look_of(fit, first, scaled, cost, success, others)
        if taught is None or not len(rows):
            continue
        each, read = np.arange(len(rows)), [fit.posterior.first.index(name) for name in taught.first]

        def after(asked_first: np.ndarray, rows: np.ndarray = rows, read: list[int] = read) -> np.ndarray:
            probability = alone[rows].copy()
            for j in read:
                asked = np.flatnonzero(asked_first == models.index(fit.posterior.first[j]))
                probability[asked] = fit.after[j][rows[asked]]
            return probability

        for f, fraction in enumerate(FRACTIONS):
            budget = fraction * float(cost[rows].sum(axis=0).max())
            try:
                once = allocate(AllocationProblem(alone[rows], cost[rows], budget)).choice
                _, twice = carry_out(taught.looks(alone[rows], cost[rows]), after, cost[rows], budget)
            except InfeasibleBudget:
                continue
            gain[f, rows] = success[rows][each, twice] - success[rows][each, once]
    best = np.nanmean(success, axis=0).max()
    return judge_gains(FRACTIONS, [TriedRounds(gain / best, component)])
