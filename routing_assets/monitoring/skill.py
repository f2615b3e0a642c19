"""Whether probabilities predict more than each model's success rate does: their forecast skill.

The Brier skill score (Murphy 1973) is the share of the rates' Brier score that predictions save. Above 0, predictions
are better than the rates on these rows. The covariance of predictions and outcomes, within models, tests that this is
not luck. It is 0 for predictions without information, however sharp they are, and needs a quarter of the rows that a
test of the Brier score needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from routing_assets.monitoring.challenge import LEAST_GROUPS, bootstrap_means

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Skill:
    """How much better than the rates, and whether beyond noise; figures are None if there are too few rows."""

    shown: bool
    why: str
    groups: int
    score: float | None = None
    """Brier skill score, at most 1."""
    interval: tuple[float, float] | None = None
    """95 % interval of the score, by a bootstrap over groups."""
    is_worse: bool = False
    """Whether the rates alone are better, beyond noise."""


def skill(probability: np.ndarray, success: np.ndarray, rates: np.ndarray, group: np.ndarray, *, of: str = "") -> Skill:
    """The skill of probabilities (N, K) on rows that nothing was fitted to.

    Args:
        success: (N, K) in [0, 1]; NaN where a pair is unlabelled. Every row has a label.
        rates: (K,) prediction for each model without reading any instruction.
        group: (N,) rows with the same label are related, and count as one observation.
        of: owner of the predictions for messages, as ``" of model 'x'"``.
    """
    groups = len(np.unique(group))
    if groups < LEAST_GROUPS:
        few = f"{groups} unrelated held-out instructions; {LEAST_GROUPS} are needed to judge the predictions{of}"
        return Skill(False, few, groups)
    gain = np.nanmean((rates - success) ** 2 - (probability - success) ** 2, axis=1)
    by_rates = float(np.nanmean((rates - success) ** 2, axis=1).mean())
    together = (_centred(probability, success) * _centred(success, success)).sum(axis=1) / (~np.isnan(success)).sum(
        axis=1
    )
    code = np.unique(group, return_inverse=True)[1]
    size = np.bincount(code).astype(np.float64)
    draws = bootstrap_means(np.bincount(code, gain), size, 0) / max(by_rates, 1e-12)
    low, high = (float(end) for end in np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]))
    score = float(gain.mean()) / max(by_rates, 1e-12)
    shown = score > 0 and _lower_bound(np.bincount(code, together), size) > 0
    saved = f"{score:.1%} [{low:.1%}, {high:.1%}] of the mean squared error (Brier score)"
    figures = f"they save {saved} on {groups} unrelated held-out instructions"
    verdict = "beat" if shown else "do not beat"
    why = f"the predictions{of} {verdict} each model's success rate{'' if shown else ' beyond noise'}: {figures}"
    return Skill(shown, why, groups, score, (low, high), high < 0)


def _centred(values: np.ndarray, success: np.ndarray) -> np.ndarray:
    """Values minus the mean of their model over its labels; 0 where there is no label."""
    known = ~np.isnan(success)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, values - mean, 0.0)


def _lower_bound(total: np.ndarray, size: np.ndarray) -> float:
    """One-sided lower confidence bound of the mean of rows, from the sums and sizes of G unrelated groups."""
    mean, groups = total.sum() / size.sum(), len(size)
    error = np.sqrt(((total - mean * size) ** 2).sum() * groups / (groups - 1)) / size.sum()
    return float(mean - stdtrit(groups - 1, CONFIDENCE) * error)
