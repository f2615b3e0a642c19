"""Recalibration by outcomes: a new temperature, a shift and buckets per model, without training anything.

``probability = sigmoid(logit / temperature + shift)`` is Platt scaling (Platt 1999), or bias-corrected temperature
scaling (Alexandari et al. 2020): the temperature corrects sharpness, the shift a success rate that rose or fell.

An instruction's outcome is known for its chosen model only. The choice depends on text and price, never on the outcome,
so the likelihood needs no weights. But a model's outcomes say little about the instructions that went to other models,
and a handful of them may all be successes. So a prior pulls each model toward its present calibration.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from routing_assets.prediction.calibration.buckets import config_of, fit_buckets

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]

PRIOR = 10.0
"""Strength, in labels, of the pull toward the present temperature (in the logarithm) and shift.

An outcome tells p (1 - p) as much about the shift as a label of the prior: about fifty outcomes move it half the way.
"""
LEAST_FOR_BUCKETS = 100
"""With this many outcomes a model's buckets are counted from them alone; with fewer it keeps its present ones."""
_BOUNDS = ((-3.0, 3.0), (-10.0, 10.0))


def fit_shifted_temperatures(
    logits: Matrix, success: Matrix, temperatures: Vector, shifts: Vector | None = None, prior: float = PRIOR
) -> tuple[Vector, Vector]:
    """Temperatures (K,) and shifts (K,) of greatest posterior probability; a model without outcomes keeps its own.

    Args:
        logits: (M, K) of routed instructions.
        success: (M, K), NaN for every model but the one that answered.
        temperatures, shifts: (K,) present ones, the centre of the Gaussian prior; without shifts, zero.
        prior: its strength, in labels.
    """
    temperatures = temperatures.astype(np.float64)
    shifts = np.zeros(len(temperatures)) if shifts is None else shifts.astype(np.float64)
    known = ~np.isnan(success)
    for k in np.flatnonzero(known.any(axis=0)):
        logit, its_success = (values[known[:, k], k].astype(np.float64) for values in (logits, success))
        centre = np.array([np.log(temperatures[k]), shifts[k]])
        log_temperature, shifts[k] = _fit(logit, its_success, centre, prior)
        temperatures[k] = np.exp(log_temperature)
    return temperatures, shifts


def enough_for_buckets(success: Matrix) -> Matrix:
    """The outcomes (M, K), without those of models that have too few to count buckets from."""
    enough = (~np.isnan(success)).sum(axis=0) >= LEAST_FOR_BUCKETS
    return np.where(enough, success, np.float32(np.nan))


def recount_buckets(buckets: pa.Table, probability: Matrix, success: Matrix, models: Sequence[str]) -> pa.Table:
    """The bucket table with every labelled model's buckets counted anew, by the settings in the table's metadata.

    Args:
        probability, success: (N, K) of the models; NaN without label. A model without labels keeps its buckets.
    """
    counted = fit_buckets(probability, success, models, config_of(buckets))
    labelled = np.flatnonzero(~np.isnan(success).all(axis=0))
    others = buckets.filter(pa.array(~np.isin(buckets["model_index"].to_numpy(), labelled)))
    return pa.concat_tables([others, counted], promote_options="permissive")  # keeps the metadata of ``others``


def _fit(logit: Vector, success: Vector, centre: Vector, prior: float) -> Vector:
    """(log temperature, shift) of greatest posterior probability under a Gaussian prior around ``centre``."""

    def loss(parameters: Vector) -> tuple[float, Vector]:
        scaled = logit * np.exp(-parameters[0])
        z, away = scaled + parameters[1], parameters - centre
        residual = 0.5 * (1.0 + np.tanh(0.5 * z)) - success
        value = float((np.logaddexp(0.0, z) - z * success).sum() + 0.5 * prior * away @ away)
        return value, np.array([-(residual @ scaled), residual.sum()]) + prior * away

    from scipy.optimize import minimize  # loads only where something is fitted

    found = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=_BOUNDS)
    return np.asarray(found.x, dtype=np.float64)
