"""Are the instructions still like those the router was trained on? Compares predictions and embeddings.

Occupancy: the population stability index of each model over the deciles of its earlier probabilities. Its noise floor
comes from draws of two samples from one population. Embeddings: the classifier two-sample test (Lopez-Paz & Oquab
2017): a linear discriminant learns on one half to tell old from new, and is scored on the other. Its AUC is easy to
read (0.5: indistinguishable; 1: entirely different), needs no bandwidth, and its chance level is that of a rank sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring.metric import DriftMetric, replicates_for, upper_quantile

_SAMPLE = 4_000
LEAST_INSTRUCTIONS = 20
"""With fewer instructions on one side, the two sides cannot be compared."""


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Probabilities the router gave to distinct instructions it did not learn from and to distinct recent ones.

    ``reference`` (N, K) and ``current`` (M, K).
    """

    reference: np.ndarray
    current: np.ndarray
    models: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Sentence embeddings of instructions the router did not learn from, (N, D), and of recent ones, (M, D).

    Rows are taken as independent: pass one copy of each text.
    """

    reference: np.ndarray
    current: np.ndarray


def population_stability_index(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """PSI of (…, B) counts: sum of (q - p) log(q / p), half a count added to every bucket so that none is empty."""
    p, q = (counts + 0.5 for counts in (reference, current))
    p, q = (shares / shares.sum(axis=-1, keepdims=True) for shares in (p, q))
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def occupancy_shift(occupancy: Occupancy, *, alarm_rate: float, tolerated_psi: float, seed: int) -> list[DriftMetric]:
    """``bucket_psi`` of each model; its threshold is ``tolerated_psi`` or the noise floor, whichever is higher."""
    rng, metrics = np.random.default_rng(seed), []
    n, m, replicates = len(occupancy.reference), len(occupancy.current), replicates_for(alarm_rate)
    for k, model in enumerate(occupancy.models):
        lower = np.unique(np.quantile(occupancy.reference[:, k], np.linspace(0, 1, 11)[:-1]))
        before, after = (_counts(values[:, k], lower) for values in (occupancy.reference, occupancy.current))
        pooled = (before + after) / (n + m)
        drawn = population_stability_index(
            rng.multinomial(n, pooled, replicates), rng.multinomial(m, pooled, replicates)
        )
        value, floor = float(population_stability_index(before, after)), upper_quantile(drawn, alarm_rate)
        words = f"population stability index over {len(lower)} buckets, {m} recent against {n} earlier instructions"
        metrics.append(DriftMetric("bucket_psi", value, floor, max(tolerated_psi, floor), words, model))
    return metrics


def embedding_shift(embeddings: Embeddings, *, alarm_rate: float, tolerated_auc: float, seed: int) -> DriftMetric:
    """``embedding_auc``: how well a linear discriminant tells recent instructions from earlier ones.

    At most 4,000 instructions of each, drawn at random, are compared.

    Raises:
        InvalidInput: fewer than 20 instructions on one side.
    """
    rng = np.random.default_rng(seed)
    if min(len(embeddings.reference), len(embeddings.current)) < LEAST_INSTRUCTIONS:
        raise InvalidInput(f"fewer than {LEAST_INSTRUCTIONS} instructions to compare", remedy="Wait for more of them")
    samples = [
        values[rng.permutation(len(values))[:_SAMPLE]].astype(np.float64)
        for values in (embeddings.reference, embeddings.current)
    ]
    halves = [(old[fold::2], new[fold::2]) for old, new in [samples] for fold in (0, 1)]
    aucs, errors = [], []
    for learn, judge in (halves, halves[::-1]):
        direction = _discriminant(*learn)
        aucs.append(_auc(judge[0] @ direction, judge[1] @ direction))
        n, m = len(judge[0]), len(judge[1])
        errors.append(math.sqrt((n + m + 1) / (12 * n * m)))
    # Both halves see the same product of mean differences, so their errors do not average out.
    floor = 0.5 + NormalDist().inv_cdf(1 - alarm_rate) * float(np.mean(errors))
    words = f"a linear classifier tells {len(samples[1])} recent instructions from {len(samples[0])} earlier ones"
    return DriftMetric("embedding_auc", float(np.mean(aucs)), floor, max(tolerated_auc, floor), words)


def _counts(values: np.ndarray, lower: np.ndarray) -> np.ndarray:
    bucket = np.clip(np.searchsorted(lower, values, side="right") - 1, 0, None)
    return np.bincount(bucket, minlength=len(lower))


def _discriminant(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """(D,) Fisher's direction, its covariance shrunk toward a multiple of the identity by D / (N + M + D)."""
    centred = np.concatenate([old - old.mean(axis=0), new - new.mean(axis=0)])
    size, dimension = centred.shape
    covariance = centred.T @ centred / size
    shrinkage = dimension / (size + dimension)
    scale = np.trace(covariance) / dimension + 1e-12
    shrunk = (1 - shrinkage) * covariance + shrinkage * scale * np.eye(dimension)
    return np.asarray(np.linalg.solve(shrunk, new.mean(axis=0) - old.mean(axis=0)))


def _auc(old: np.ndarray, new: np.ndarray) -> float:
    """P(a new score is above an old one), ties one half."""
    ordered = np.sort(old)
    below = np.searchsorted(ordered, new, side="left") + np.searchsorted(ordered, new, side="right")
    return float(below.mean() / 2 / len(old))
