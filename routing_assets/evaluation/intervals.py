"""Paired bootstrap over test instructions and seeds.

Every replicate draws one weight per group of related instructions, used for all policies and in all seeds whose test
split holds the group, and draws the seeds again. So differences between policies are paired, copies of a text are not
counted as independent evidence, and neither is an instruction that several seeds tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from routing_assets.evaluation.results import TestedPolicies

CHUNK = 50  # replicates computed at once: bounds memory at CHUNK x test rows


@dataclass(frozen=True, eq=False)
class Curves:
    """Mean curves over seeds, B times (B replicates, or one estimate), for P policies at F budgets.

    NaN where no seed could afford the budget. ``cost_fraction`` is of the dearest model's spend, ``cheapest`` (B, 2)
    the cost fraction and success of the cheapest model, ``best`` (B,) the success of the best single model.
    ``relative_by_seed`` (B, S, P, F) is what ``relative`` is the mean of, with the weights ``seed_weight`` (B, S).
    """

    policies: tuple[str, ...]
    success: np.ndarray
    relative: np.ndarray
    cost_fraction: np.ndarray
    cheapest: np.ndarray
    best: np.ndarray
    relative_by_seed: np.ndarray
    seed_weight: np.ndarray

    def of(self, policy: str) -> int:
        """Index of a policy on axis 1."""
        return self.policies.index(policy)

    def difference(self, a: str, b: str) -> np.ndarray:
        """Relative success of policy ``a`` less that of ``b``, (B, F): mean over the seeds in which both could afford
        the budget, so that no two different seeds are compared.
        """
        gap = self.relative_by_seed[:, :, self.of(a)] - self.relative_by_seed[:, :, self.of(b)]
        return _over_seeds(gap, self.seed_weight)


def mean_curves(seeds: Sequence[TestedPolicies]) -> Curves:
    """The estimate itself (B = 1): every instruction and seed counted once."""
    ones = [np.ones((1, len(seed.component))) for seed in seeds]
    return _weighted(seeds, ones, np.ones((1, len(seeds))))


def bootstrap_curves(seeds: Sequence[TestedPolicies], replicates: int = 1000, seed: int = 0) -> Curves:
    """Replicates of :func:`mean_curves` under Poisson weights of related instructions and resampled seeds."""
    rng = np.random.default_rng(seed)
    components = 1 + max(int(result.component.max()) for result in seeds)
    chunks = []
    for start in range(0, replicates, CHUNK):
        size = min(CHUNK, replicates - start)
        weight = rng.poisson(1.0, size=(size, components)).astype(np.float64)
        seed_weight = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=size).astype(np.float64)
        chunks.append(_weighted(seeds, [weight[:, result.component] for result in seeds], seed_weight))
    names = [field.name for field in fields(Curves) if field.name != "policies"]
    return Curves(chunks[0].policies, *(np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in names))


def interval(replicates: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of (B,) replicates; NaN replicates are left out. (NaN, NaN) where all of them are NaN."""
    known = replicates[~np.isnan(replicates)]
    if not known.size:
        return np.nan, np.nan
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def basic_interval(estimate: float, replicates: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The basic bootstrap interval: twice the estimate, less the upper and the lower quantile of the replicates.

    For figures such as AIQ, which are biased upward: the upper hull of a noisy curve takes its luckiest points.
    Replicates are noisier than the estimate, so they lie above it, as it lies above the truth. A percentile interval
    would be too high by twice that bias.
    """
    low, high = interval(replicates, level)
    return 2 * estimate - high, 2 * estimate - low


def _weighted(seeds: Sequence[TestedPolicies], weights: Sequence[np.ndarray], seed_weight: np.ndarray) -> Curves:
    policies = tuple(seeds[0].outcomes)
    per_seed = [_curves_of_seed(result, policies, weight) for result, weight in zip(seeds, weights, strict=True)]
    by_seed = {name: np.stack([part[name] for part in per_seed], axis=1) for name in per_seed[0]}
    means = {name: _over_seeds(values, seed_weight) for name, values in by_seed.items()}
    return Curves(policies, **means, relative_by_seed=by_seed["relative"], seed_weight=seed_weight)


def _curves_of_seed(result: TestedPolicies, policies: tuple[str, ...], weight: np.ndarray) -> dict[str, np.ndarray]:
    """Weighted means over the instructions of one seed, for B rows of weights (B, n).

    NaN where a row of weights leaves no instruction, none on which the best model succeeds, or none that costs anything
    with the dearest model.
    """
    total = weight.sum(axis=1, keepdims=True)
    weight = weight / np.where(total > 0, total, np.nan)
    shape = (len(weight), len(policies), len(result.budget))
    success = np.stack([(weight @ result.outcomes[name].success.T) for name in policies], axis=1).reshape(shape)
    cost = np.stack([(weight @ result.outcomes[name].cost.T) for name in policies], axis=1).reshape(shape)
    best = weight @ result.success[:, result.best_single]
    best = np.where(best > 0, best, np.nan)
    dearest = weight @ result.cost[:, result.dearest]
    dearest = np.where(dearest > 0, dearest, np.nan)
    cheapest = weight @ np.column_stack([result.cost[:, result.cheapest], result.success[:, result.cheapest]])
    return {
        "success": success,
        "relative": success / best[:, None, None],
        "cost_fraction": cost / dearest[:, None, None],
        "cheapest": np.column_stack([cheapest[:, 0] / dearest, cheapest[:, 1]]),
        "best": best,
    }


def _over_seeds(values: np.ndarray, seed_weight: np.ndarray) -> np.ndarray:
    """Mean (B, ...) of values (B, S, ...) with weights (B, S), leaving out seeds where the value is NaN."""
    weight = np.where(np.isnan(values), 0.0, seed_weight.reshape(seed_weight.shape + (1,) * (values.ndim - 2)))
    total = weight.sum(axis=1)
    summed = (np.nan_to_num(values) * weight).sum(axis=1)
    return np.divide(summed, total, out=np.full_like(summed, np.nan), where=total > 0)
