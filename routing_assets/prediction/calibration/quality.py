"""How good probabilities are: calibration error, Brier score, log-loss, and reliability diagrams.

The figures of the tables are computed by SQL (``sql/calibration_*.sql``) in an in-memory DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from routing_assets.foundation.sql import query
from routing_assets.prediction.calibration.buckets import Matrix


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


def _query(
    file: str,
    probability: Matrix,
    success: Matrix,
    models: Sequence[str],
    parameters: Mapping[str, object],
    component: NDArray[np.integer] | None = None,
) -> pa.Table:
    from routing_assets.foundation.attached import in_memory  # DuckDB, which training and routing do without

    row, column = np.nonzero(~np.isnan(success))
    predictions = pa.table(
        {
            "model_index": column.astype(np.int32),
            "model": pa.DictionaryArray.from_arrays(
                pa.array(column.astype(np.int32)), pa.array(list(models), pa.string())
            ),
            "probability": probability[row, column].astype(np.float64),
            "success": success[row, column].astype(np.float64),
            "component": row if component is None else component[row],
        }
    )
    with in_memory() as connection:
        connection.register("predictions", predictions)
        return connection.sql(query(file), params=dict(parameters)).to_arrow_table()


def loss_saved(
    probability: NDArray[np.float32],
    other: NDArray[np.float32],
    success: NDArray[np.float32],
    component: NDArray[np.integer],
) -> tuple[float, float]:
    """Log-loss per label that ``probability`` saves against ``other``, and its standard error; all (n, K)."""
    labelled = np.isfinite(success)
    saved = np.where(labelled, _loss(other, success) - _loss(probability, success), 0.0).sum(axis=1)
    return _mean_of_clusters(saved, labelled.sum(axis=1), component)


def _mean_of_clusters(
    total: NDArray[np.float64], count: NDArray[np.integer], component: NDArray[np.integer]
) -> tuple[float, float]:
    """Ratio of sums, and its standard error over clusters of related rows."""
    cluster = np.unique(component, return_inverse=True)[1]
    totals, counts = np.bincount(cluster, total), np.bincount(cluster, count)
    mean = totals.sum() / max(counts.sum(), 1)
    clusters = len(totals)
    if clusters < 2:
        return float(mean), float("inf")
    variance = np.square(totals - mean * counts).sum() * clusters / (clusters - 1)
    return float(mean), float(np.sqrt(variance) / counts.sum())


def _loss(probability: NDArray[np.float32], success: NDArray[np.float32]) -> NDArray[np.float64]:
    p = np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(-(success * np.log(p) + (1 - success) * np.log1p(-p)))
