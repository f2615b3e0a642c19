"""Whether second looks pay, at which budgets, and when there are too few instructions to tell.

Training and evaluation judge by this one rule. A claim must hold for all budgets at once: of many budgets, one looks
good by luck. So the intervals are simultaneous: their width is a quantile of the largest deviation over all budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

WORTHWHILE = 0.005
"""Relative success; a smaller gain is not worth a second round."""
LEAST_UNRELATED = 200
"""With fewer unrelated instructions nothing is claimed: intervals are then too narrow."""
LEVEL, DRAWS = 0.95, 4_000

Answer = Literal["pays", "does not pay", "too few rows to tell"]


@dataclass(frozen=True)
class Gain:
    """Two rounds less one call for the same money, at one budget, in success relative to the best single model.

    The interval from ``lower`` to ``upper`` holds at all budgets at once with 95 %.
    """

    budget_fraction: float
    gain: float
    lower: float
    upper: float
    unrelated: int
    """Instructions that were tried, related ones counted once."""

    @property
    def answer(self) -> Answer:
        """What is known at this budget."""
        if self.unrelated < LEAST_UNRELATED:
            return "too few rows to tell"
        if self.gain >= WORTHWHILE and self.lower > 0:
            return "pays"
        return "does not pay" if self.upper < WORTHWHILE else "too few rows to tell"

    @property
    def pays(self) -> bool:
        """Whether the gain is sure and worthwhile."""
        return self.answer == "pays"

    def __str__(self) -> str:
        points = [f"{100 * value:+.1f}" for value in (self.gain, self.lower, self.upper)]
        return f"{points[0]} points [{points[1]}, {points[2]}], at {self.budget_fraction:.0%}"


@dataclass(frozen=True, eq=False)
class TriedRounds:
    """What two rounds gained on the n instructions of one split, at F budgets.

    Attributes:
        gain: (F, n) success less that of one call for the same money, relative to the best single model; NaN where it
            is not known.
        component: (n,) equal for related instructions, in all splits; they count as one observation.
    """

    gain: NDArray[np.floating]
    component: NDArray[np.integer]


def judge_gains(fractions: Sequence[float], splits: Sequence[TriedRounds], seed: int = 0) -> tuple[Gain, ...]:
    """Mean gain over the splits at each budget where one is known.

    The errors are those of groups of related instructions, in whatever splits they were tried, and those of splits: an
    instruction that several splits tried is no independent evidence, and neither are those of one plan.
    """
    gain = np.concatenate([split.gain.T for split in splits]).astype(np.float64)
    judged = np.flatnonzero(np.isfinite(gain).any(axis=0))
    if not judged.size:
        return ()
    gain, known = gain[:, judged], np.isfinite(gain[:, judged])
    split = np.repeat(np.arange(len(splits)), [len(split.component) for split in splits])
    group = np.unique(np.concatenate([split.component for split in splits]), return_inverse=True)[1]
    count = _sums(known, split)
    in_splits = (count > 0).sum(axis=0)
    means = _sums(np.where(known, gain, 0.0), split) / np.maximum(count, 1)
    mean = means.sum(axis=0) / in_splits
    off = np.where(known, gain - means[split], 0.0) / (np.maximum(count, 1) * in_splits)[split]
    moved = np.concatenate([_sums(off, group), np.where(count > 0, means - mean, 0.0) / in_splits])
    unrelated = len(np.unique(group[known.any(axis=1)]))
    return tuple(
        Gain(float(fractions[int(f)]), float(m), float(m - width), float(m + width), unrelated)
        for f, m, width in zip(judged, mean, _simultaneous(moved.T @ moved, seed), strict=True)
    )


def _sums(values: NDArray[Any], by: NDArray[np.integer]) -> NDArray[np.float64]:
    """(G, F) sums of the rows (N, F) of each of G groups."""
    sums = np.zeros((by.max() + 1, values.shape[1]))
    np.add.at(sums, by, values)
    return sums


def _simultaneous(covariance: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """(F,) half widths of intervals that hold at once, for F means with normal errors."""
    error = np.sqrt(covariance.diagonal())
    drawn = np.random.default_rng(seed).multivariate_normal(np.zeros(len(error)), covariance, DRAWS, method="svd")
    deviation = np.divide(np.abs(drawn), error, out=np.zeros_like(drawn), where=error > 0)
    return np.asarray(error * np.quantile(deviation.max(axis=1, initial=0.0), LEVEL))
