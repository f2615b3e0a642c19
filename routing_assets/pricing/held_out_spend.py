"""How far the realised spend of a batch may lie above its estimate, from held-out calls.

An optimiser picks the pairs whose cost is underestimated, so the errors of single calls do not tell the error of a
decision. So the decision itself is tested: held-out instructions are allocated as the batch is, and the recorded
cost of their chosen calls is compared with the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from routing_assets.pricing.spend import CostEstimate

LEAST_CALLS = 30
"""Least number of held-out calls with a recorded cost: fewer say too little about heavy tails."""
LEAST_CALLS_OF_MODEL = 5
MOST_INSTRUCTIONS = 4_000
"""Most held-out instructions to score: more would hardly improve the margin."""
_DRAWS = 999
_LONGEST_BATCH = 2_000  # in a longer batch, the mean cost of a call is drawn from a normal distribution
_LEAST_SPREAD = 0.2  # of a resample, relative to that of all calls: it may miss every expensive call
_ROUNDS = 5
_SETTLED = 1e-3


@dataclass(frozen=True, eq=False)
class HeldOutCalls:
    """M instructions that neither the router nor the cost model was trained on, for K models.

    Attributes:
        models: K names.
        success: (M, K) probability of success that the router decides by.
        estimate: (M, K) estimated cost of each call.
        cost: (M, K) recorded cost of each call in USD; NaN if it was not recorded.
        tokens: (M,) tokens of the texts, for context lengths.
    """

    models: tuple[str, ...]
    success: np.ndarray
    estimate: CostEstimate
    cost: np.ndarray
    tokens: np.ndarray

    def __len__(self) -> int:
        return len(self.success)


@dataclass(frozen=True, eq=False)
class SpendRatio:
    """Predictive distribution of realised over estimated spend of a decision.

    Attributes:
        expected: its mean.
        draws: sorted draws from it.
        calls: number of held-out calls behind it.
    """

    expected: float
    draws: np.ndarray
    calls: int

    def upper(self, probability: float) -> float:
        """The ratio that is not exceeded with ``probability``: the conformal quantile, which counts the batch itself
        as one more draw.
        """
        return float(self.draws[min(math.ceil(probability * (len(self.draws) + 1)), len(self.draws)) - 1])

    def probability_above(self, ratio: float) -> float:
        """Probability that realised over estimated spend exceeds ``ratio``."""
        return float(np.mean(self.draws > ratio))


def spend_ratio(held_out: HeldOutCalls, choice: np.ndarray, size: int, seed: int = 0) -> SpendRatio | None:
    """Realised over estimated spend of a batch of ``size`` instructions, decided as ``choice`` (M,) decides held-out
    ones; None where too few of the chosen calls have a recorded cost.

    A studentised bootstrap, the difference between a batch of resampled calls and the mean of as many resampled
    held-out ones as there are over the spread of the latter, carries that these are finitely many and that they may
    lack the most expensive calls (Hall, "Theoretical comparison of bootstrap confidence intervals", 1988). Models with
    hardly any recorded cost count as estimated, with the cost model's error; its assumptions add theirs.
    """
    row, models = np.arange(len(held_out)), len(held_out.models)
    estimated, realised = held_out.estimate.mean[row, choice], held_out.cost[row, choice]
    known = np.isfinite(realised)
    covered = np.bincount(choice[known], minlength=models) >= LEAST_CALLS_OF_MODEL
    judged = known & covered[choice]
    if judged.sum() < LEAST_CALLS:
        return None
    unjudged = _error_of_unjudged(held_out.estimate, choice, covered, size)
    kept = judged | ~covered[choice]
    estimated, realised = estimated[kept], np.where(judged, realised, estimated)[kept]
    if estimated.sum() == 0:
        return SpendRatio(1.0, np.ones(_DRAWS), int(judged.sum()))
    rng = np.random.default_rng(seed)
    expected = realised.sum() / estimated.sum()
    spread = _spread(realised, estimated)
    held = rng.integers(len(estimated), size=(_DRAWS, len(estimated)))
    level = realised[held].sum(axis=1) / _positive(estimated[held].sum(axis=1))
    spreads = np.maximum(_spread(realised[held], estimated[held]), _LEAST_SPREAD * spread)
    if size <= _LONGEST_BATCH:
        batch = rng.integers(len(estimated), size=(_DRAWS, size))
        ratio = realised[batch].sum(axis=1) / _positive(estimated[batch].sum(axis=1))
    else:
        ratio = expected + rng.normal(size=_DRAWS) * spread / math.sqrt(size)
    away = np.divide(ratio - level, spreads, out=np.zeros(_DRAWS), where=spreads > 0)
    draws = expected + away * spread + rng.normal(size=_DRAWS) * unjudged
    return SpendRatio(float(expected), np.sort(draws), int(judged.sum()))


def calibrated_share(
    ratio_at: Callable[[float], SpendRatio | None], probability: float
) -> tuple[float, SpendRatio] | None:
    """The share of a budget to allocate so that the realised spend keeps all of it with ``probability``, and the ratio
    of realised to estimated spend at that share; None where no ratio is known.

    Less money moves instructions to other models, so the ratio is asked for again at each share until it settles; of
    the last two shares the smaller is taken.

    Args:
        ratio_at: the ratio of the decision at a share of the budget.
    """
    share = before = 1.0
    settled: tuple[float, SpendRatio] | None = None
    for _ in range(_ROUNDS):
        ratio = ratio_at(share)
        if ratio is None:
            return None
        before, share = share, 1.0 / max(1.0, ratio.upper(probability))
        settled = min(before, share), ratio
        if abs(share - before) <= _SETTLED * before:
            break
    return settled


def corresponding_budget(budget: float, cost: np.ndarray, held_out_cost: np.ndarray) -> float:
    """USD for held-out instructions that lies between their least and their greatest spend as ``budget`` does between
    those of a batch; costs are (N, K) and (M, K).
    """
    least, most = _extremes(cost)
    held_out_least, held_out_most = _extremes(held_out_cost)
    if not math.isfinite(budget) or most <= least:
        return math.inf
    place = max((budget - least) / (most - least), 0.0)
    return (held_out_least + place * (held_out_most - held_out_least)) * (1 + 1e-9)


def _extremes(cost: np.ndarray) -> tuple[float, float]:
    return float(cost.min(axis=1).sum()), float(cost.sum(axis=0).max())


def _spread(realised: np.ndarray, estimated: np.ndarray) -> np.ndarray:
    """Standard deviation of a call around its estimate at the level of them all, relative to the mean estimate."""
    level = realised.sum(axis=-1, keepdims=True) / _positive(estimated.sum(axis=-1, keepdims=True))
    away = realised - level * estimated
    return np.sqrt((away**2).mean(axis=-1)) / _positive(estimated.mean(axis=-1))


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, np.finfo(np.float64).tiny)


def _error_of_unjudged(estimate: CostEstimate, choice: np.ndarray, covered: np.ndarray, size: int) -> float:
    """Relative standard error of the part of the spend that held-out calls do not cover: models without recorded costs,
    and assumptions about any model.
    """
    blank = replace(
        estimate,
        std=np.where(covered, 0.0, estimate.std) * math.sqrt(len(choice) / size),
        shared_error=np.where(covered, 0.0, estimate.shared_error),
    )
    forecast = blank.forecast(choice)
    return forecast.std / forecast.mean if forecast.mean > 0 else 0.0
