"""How good probabilities are: calibration error, Brier score, log-loss, and reliability diagrams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from routing_assets.prediction.calibration.buckets import Matrix, _query


def calibration_metrics(
    probability: Matrix,
    success: Matrix,
    models: Sequence[str],
    bins: int = 10,
    *,
    component: NDArray[np.integer] | None = None,
) -> pa.Table:
    """One row per model: ``labels, success_rate, mean_probability, log_loss, brier, auc, ece, ece_floor``.

    ``component`` (N,) is equal for related rows, such as copies of a text; ``ece_floor`` counts them once.
    """
    return _query("calibration_metrics", probability, success, models, {"bins": bins}, component)


def reliability(
    probability: Matrix, success: Matrix, models: Sequence[str], bins: int = 10, z: float = 1.96
) -> pa.Table:
    """Points of the reliability diagrams, one row per model and equal-width bin that holds a label."""
    return _query("calibration_reliability", probability, success, models, {"bins": bins, "z": z})
