"""Temperature scaling: one temperature per model, pulled toward the common one (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from routing_assets.prediction.calibration.buckets import LOG_TEMPERATURES, CalibrationConfig, Matrix, Vector


def sigmoid(logits: NDArray[np.floating]) -> Matrix:
    """Logistic function, (…) float32, computed in double precision."""
    return np.asarray(expit(np.asarray(logits, dtype=np.float64)), dtype=np.float32)


def log_loss(logits: NDArray[np.floating], success: NDArray[np.floating]) -> Vector:
    """Mean cross-entropy of each model, (K,), over the pairs with a label; NaN for a model without labels."""
    labelled = ~np.isnan(success)
    z = np.asarray(logits, dtype=np.float64)
    loss = np.where(labelled, np.logaddexp(0.0, z) - z * np.where(labelled, success, 0.0), 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(loss.sum(0) / labelled.sum(0))


def fit_temperatures(logits: Matrix, success: Matrix, prior: float = CalibrationConfig.temperature_prior) -> Vector:
    """Temperatures (K,) by maximum likelihood; ``scaled = sigmoid(logit / temperature)``.

    First one is found for all models, then one for each, with a Gaussian prior in the logarithm around the shared one
    that weighs like ``prior`` labels. A model without labels gets the shared one.
    """
    shared = shared_temperature(logits, success)
    columns = (slice(k, k + 1) for k in range(logits.shape[1]))
    return np.array([shared_temperature(logits[:, k], success[:, k], shared, prior) for k in columns])


def shared_temperature(logits: Matrix, success: Matrix, around: float = 1.0, prior: float = 0.0) -> float:
    """One temperature for all models, by maximum likelihood; a prior of ``prior`` labels pulls it to ``around``."""
    from scipy.optimize import minimize_scalar  # loads only where something is fitted

    def penalised(log_t: float) -> float:
        loss = _total_loss(logits, success, np.array([log_t]))
        return float(np.nansum(loss)) + 0.5 * prior * (log_t - np.log(around)) ** 2

    return float(np.exp(minimize_scalar(penalised, bounds=LOG_TEMPERATURES, method="bounded").x))


def _total_loss(logits: Matrix, success: Matrix, log_temperature: Vector) -> Vector:
    return log_loss(logits / np.exp(log_temperature), success) * (~np.isnan(success)).sum(0)


def scale(logits: Matrix, temperatures: Vector, shifts: Vector | None = None) -> Matrix:
    """Probabilities (N, K) after each model's temperature and, where a router was recalibrated, its shift."""
    return sigmoid(logits / temperatures + (0.0 if shifts is None else shifts))
