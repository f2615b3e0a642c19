"""Recalibration by outcomes: a new temperature and a shift per model, without training anything.

``probability = sigmoid(logit / temperature + shift)`` is Platt scaling (Platt 1999), or bias-corrected temperature
scaling (Alexandari et al. 2020): the temperature mends sharpness, the shift a success rate that rose or fell.

Outcomes are known of the chosen model of each instruction only. Who is chosen depends on text and price, never on the
outcome itself, so their likelihood needs no weights; but a model's outcomes come from where it was chosen, and they say
little about the rest. Held-out labels, which cover every pair, therefore stay in as an anchor worth ``anchor`` outcomes
per model: they may be of the time before a drift, so no number of them outvotes what came since.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]

ANCHOR = 50.0
"""Outcomes of a model that all its held-out labels together weigh as much as."""
LEAST_FOR_BUCKETS = 100
"""A model with so many outcomes has its buckets from them alone."""
_SHARPNESS = (np.exp(-3.0), np.exp(3.0))


def fit_shifted_temperatures(
    held_out: tuple[Matrix, Matrix], outcomes: tuple[Matrix, Matrix], anchor: float = ANCHOR
) -> tuple[Vector, Vector]:
    """Temperatures (K,) and shifts (K,) by maximum likelihood.

    Args:
        held_out: logits and success, each (C, K), of labelled pairs that calibrated the classifier.
        outcomes: the same, each (M, K), of routed instructions; NaN for every model but the one that answered.
        anchor: what the held-out labels of a model weigh together, in outcomes.
    """
    models = held_out[0].shape[1]
    temperatures, shifts = np.ones(models), np.zeros(models)
    for k in range(models):
        old, new = (_labelled(logits[:, k], success[:, k]) for logits, success in (held_out, outcomes))
        weight = np.concatenate([np.full(len(old[0]), min(1.0, anchor / max(1, len(old[0])))), np.ones(len(new[0]))])
        logit, success = np.concatenate([old[0], new[0]]), np.concatenate([old[1], new[1]])
        if len(logit):
            sharpness, shifts[k] = _fit(logit, success, weight / weight.sum())
            temperatures[k] = 1.0 / sharpness
    return temperatures, shifts


def bucket_labels(held_out_success: Matrix, outcome_success: Matrix) -> tuple[Matrix, Matrix]:
    """The labels that new buckets are counted from: held-out ones only of models with few outcomes."""
    enough = (~np.isnan(outcome_success)).sum(axis=0) >= LEAST_FOR_BUCKETS
    return np.where(enough, np.float32(np.nan), held_out_success), outcome_success


def _labelled(logit: NDArray[np.floating], success: NDArray[np.floating]) -> tuple[Vector, Vector]:
    known = ~np.isnan(success)
    return logit[known].astype(np.float64), success[known].astype(np.float64)


def _fit(logit: Vector, success: Vector, weight: Vector) -> Vector:
    """(sharpness, shift) of least weighted cross-entropy."""

    def loss(parameters: Vector) -> tuple[float, Vector]:
        z = parameters[0] * logit + parameters[1]
        residual = weight * (0.5 * (1.0 + np.tanh(0.5 * z)) - success)
        value = float(weight @ (np.logaddexp(0.0, z) - z * success))
        return value, np.array([residual @ logit, residual.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[_SHARPNESS, (-10.0, 10.0)])
    return np.asarray(found.x, dtype=np.float64)
