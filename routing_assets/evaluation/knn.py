"""The control that a trained router must beat: nearest neighbours in the frozen encoder's space, well tuned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PRIOR_WEIGHTS = (0.5, 2.0, 8.0, 32.0)


@dataclass(frozen=True)
class TunedKNN:
    """Neighbours and prior weight (in neighbours, toward the model's mean) with the least validation log-loss."""

    neighbours: int
    prior_weight: float
    log_loss: float


def knn_estimates(
    train: np.ndarray,
    train_success: np.ndarray,
    validation: np.ndarray,
    validation_success: np.ndarray,
    test: np.ndarray,
) -> tuple[np.ndarray, TunedKNN]:
    """(n, K) success rates among each test embedding's neighbours, smoothed; tuned on the validation split.

    Embeddings are (N, D) rows of equal length, success (N, K) with NaN where unlabelled.
    """
    index = NearestNeighbors(n_neighbors=min(NEIGHBOURS[-1], len(train)), algorithm="brute").fit(train)
    near = index.kneighbors(validation, return_distance=False)
    candidates = [
        TunedKNN(k, weight, _log_loss(_smoothed(near[:, :k], train_success, weight), validation_success))
        for k in NEIGHBOURS
        if k <= len(train)
        for weight in PRIOR_WEIGHTS
    ]
    best = min(candidates, key=lambda candidate: candidate.log_loss)
    near = index.kneighbors(test, n_neighbors=best.neighbours, return_distance=False)
    return _smoothed(near, train_success, best.prior_weight).astype(np.float32), best


def _smoothed(near: np.ndarray, success: np.ndarray, prior_weight: float) -> np.ndarray:
    labelled = np.isfinite(success)
    known = np.where(labelled, success, 0.0)
    prior = known.sum(axis=0) / np.maximum(labelled.sum(axis=0), 1)
    estimate = np.empty((len(near), success.shape[1]))
    for start in range(0, len(near), 1024):  # (1024, 512, K) floats at a time
        rows = near[start : start + 1024]
        estimate[start : start + 1024] = (known[rows].sum(axis=1) + prior_weight * prior) / (
            labelled[rows].sum(axis=1) + prior_weight
        )
    return estimate


def _log_loss(probability: np.ndarray, success: np.ndarray) -> float:
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return float(-np.nanmean(success * np.log(p) + (1 - success) * np.log(1 - p)))
