"""The control that a trained router must beat: nearest neighbours in the frozen encoder's space, well tuned."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PRIOR_WEIGHTS = (0.1, 0.5, 2.0, 8.0, 32.0)
TEMPERATURES = (None, 0.2, 0.1, 0.05, 0.03)
CHUNK = 512  # test rows at a time: bounds memory at CHUNK x 512 neighbours x K models


@dataclass(frozen=True)
class TunedKNN:
    """Settings with the least validation log-loss.

    A neighbour of cosine similarity s weighs exp((s - s_max) / temperature), or 1 where the temperature is None; the
    model's mean success weighs as ``prior_weight`` nearest neighbours.
    """

    neighbours: int
    temperature: float | None
    prior_weight: float
    log_loss: float


def knn_estimates(
    train: np.ndarray,
    train_success: np.ndarray,
    validation: np.ndarray,
    validation_success: np.ndarray,
    test: np.ndarray,
) -> tuple[np.ndarray, TunedKNN]:
    """(n, K) smoothed success rates among each test embedding's neighbours; tuned on the validation split.

    Embeddings are (N, D) rows of unit length, success (N, K) with NaN where unlabelled.
    """
    index = NearestNeighbors(n_neighbors=min(NEIGHBOURS[-1], len(train)), algorithm="brute").fit(train)
    distance, near = index.kneighbors(validation)
    candidates = []
    for k, temperature in product([k for k in NEIGHBOURS if k <= len(train)], TEMPERATURES):
        for prior in PRIOR_WEIGHTS:
            estimate = _smoothed(near[:, :k], distance[:, :k], train_success, temperature, prior)
            candidates.append(TunedKNN(k, temperature, prior, _log_loss(estimate, validation_success)))
    best = min(candidates, key=lambda candidate: candidate.log_loss)
    distance, near = index.kneighbors(test, n_neighbors=best.neighbours)
    estimate = _smoothed(near, distance, train_success, best.temperature, best.prior_weight)
    return estimate.astype(np.float32), best


def _smoothed(
    near: np.ndarray, distance: np.ndarray, success: np.ndarray, temperature: float | None, prior_weight: float
) -> np.ndarray:
    labelled = np.isfinite(success).astype(np.float32)
    known = np.nan_to_num(success).astype(np.float32)
    prior = known.sum(axis=0) / np.maximum(labelled.sum(axis=0), 1)
    weight = np.ones_like(distance)
    if temperature is not None:  # between unit vectors, 1 - cosine = distance squared / 2
        weight = np.exp((distance[:, :1] ** 2 - distance**2) / 2 / temperature)
    weight = weight.astype(np.float32)
    estimate = np.empty((len(near), success.shape[1]))
    for start in range(0, len(near), CHUNK):
        part = slice(start, start + CHUNK)
        total = np.einsum("nk,nkm->nm", weight[part], labelled[near[part]])
        right = np.einsum("nk,nkm->nm", weight[part], known[near[part]])
        estimate[part] = (right + prior_weight * prior) / (total + prior_weight)
    return estimate


def _log_loss(probability: np.ndarray, success: np.ndarray) -> float:
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return float(-np.nanmean(success * np.log(p) + (1 - success) * np.log(1 - p)))
