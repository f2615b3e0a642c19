"""How far a grader agrees with people: accuracy and Cohen's kappa on the answers that both judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
_DRAWS = 20_000
RIGHT = 0.5
"""A grade, or a person's judgement, from which on an answer counts as right."""


@dataclass(frozen=True)
class Agreement:
    """Of ``answers`` that a grader and people judged: the share that both judged alike, and Cohen's kappa.

    Kappa is None where one of the two judged all answers alike, as it then says nothing.
    """

    answers: int
    accuracy: float
    kappa: float | None
    kappa_lower: float | None
    kappa_upper: float | None


def agreement(grades: np.ndarray, people: np.ndarray, *, seed: int = 0) -> Agreement | None:
    """Compare a grader with people on the same answers; None where there are none.

    The interval of kappa is that of its posterior, under Jeffreys' prior on the four counts: unlike the usual
    approximation it is no point where the two agree on every one of a few answers. Source: Cohen, "A Coefficient of
    Agreement for Nominal Scales" (1960).

    Args:
        grades, people: (N,) in [0, 1].
    """
    if not len(grades):
        return None
    of_grader, of_people = grades >= RIGHT, people >= RIGHT
    counts = np.array([[np.sum((of_grader == g) & (of_people == p)) for p in (False, True)] for g in (False, True)])
    accuracy = float(np.trace(counts) / counts.sum())
    if 0 in counts.sum(axis=0) or 0 in counts.sum(axis=1):
        return Agreement(len(grades), accuracy, None, None, None)
    draws = np.random.default_rng(seed).dirichlet(counts.ravel() + 0.5, _DRAWS).reshape(-1, 2, 2)
    lower, upper = np.quantile(_kappa(draws), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Agreement(len(grades), accuracy, float(_kappa(counts[None])[0]), float(lower), float(upper))


def _kappa(tables: np.ndarray) -> np.ndarray:
    """(D,) of (D, 2, 2) counts or shares."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    observed = np.trace(shares, axis1=1, axis2=2)
    expected = np.sum(shares.sum(axis=1) * shares.sum(axis=2), axis=1)
    return (observed - expected) / (1 - expected)
