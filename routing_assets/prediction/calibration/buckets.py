"""From logits to probabilities that can be trusted: one temperature per model, then the observed rate of each bucket.

Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks". Histogram binning: Zadrozny & Elkan
2001. The buckets and all figures are computed by SQL (``sql/calibration_*.sql``) in an in-memory DuckDB and returned
as Arrow tables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from routing_assets.foundation.attached import in_memory
from routing_assets.foundation.sql import query

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]

STEPS = ("raw", "scaled", "calibrated", "decision")
"""The estimates of a router, in the order of its steps: fields of its ``ProbabilityMatrix``."""
LOG_TEMPERATURES = (-3.0, 3.0)
"""Bounds of the search for a temperature, as logarithms."""
SETTINGS = b"settings"
"""In the metadata of a bucket table: JSON of the ``CalibrationConfig`` that it was fitted with."""


@dataclass(frozen=True)
class CalibrationConfig:
    """How temperatures and buckets are fitted.

    ``temperature_prior`` is the strength, in labels, with which a model's temperature is pulled toward the one shared
    by all models. ``sharpness_prior`` is the strength, in instructions, with which the whole classifier's temperature
    is pulled toward the temperature of its out-of-fold logits. The remaining fields are the parameters of
    ``sql/calibration_buckets.sql``.
    """

    temperature_prior: float = 150.0
    sharpness_prior: float = 50.0
    buckets: int = 20
    min_count: int = 50
    equal_width: bool = False
    monotone: bool = False
    smoothing: float = 2.0
    z: float = 1.96


def fit_buckets(
    probability: Matrix,
    success: Matrix,
    models: Sequence[str],
    config: CalibrationConfig = CalibrationConfig(),
) -> pa.Table:
    """One row per model and bucket: ``model_index, model, bucket, lower, upper, count, mean_probability,
    observed_rate, calibrated, wilson_lower, wilson_upper``.

    ``probability`` and ``success`` are (N, K); pairs without a label (NaN) are left out. ``lower`` is inclusive; the
    buckets of a model cover [0, 1]. A bucket of count n with s successes gets (s + smoothing x model mean) / (n +
    smoothing). The table's metadata say how it was fitted, see :func:`config_of`.
    """
    fitted = _query(
        "calibration_buckets",
        probability,
        success,
        models,
        {
            "buckets": config.buckets,
            "min_count": config.min_count,
            "equal_width": config.equal_width,
            "smoothing": config.smoothing,
            "z": config.z,
        },
    )
    if config.monotone:
        fitted = _isotonic(fitted)
    return fitted.drop_columns(["weight"]).replace_schema_metadata({SETTINGS: json.dumps(asdict(config))})


def _isotonic(buckets: pa.Table) -> pa.Table:
    """The buckets with isotonic rates: non-decreasing over the buckets of each model."""
    from sklearn.isotonic import IsotonicRegression

    model, bucket, weight = (buckets[name].to_numpy() for name in ("model_index", "bucket", "weight"))
    rate = buckets["calibrated"].to_numpy().copy()
    for k in np.unique(model):
        rows = model == k
        rate[rows] = IsotonicRegression().fit_transform(bucket[rows], rate[rows], sample_weight=weight[rows])
    return buckets.set_column(buckets.column_names.index("calibrated"), "calibrated", pa.array(rate))


def config_of(buckets: pa.Table) -> CalibrationConfig:
    """The settings that the buckets were fitted with, from the table's metadata; the defaults where it has none."""
    return CalibrationConfig(**json.loads((buckets.schema.metadata or {}).get(SETTINGS, b"{}")))


def apply_buckets(probability: Matrix, buckets: pa.Table, column: str = "calibrated") -> Matrix:
    """The buckets' ``column`` for each probability, (N, K). A model without buckets keeps its probability."""
    model = buckets["model_index"].to_numpy()
    lower, value = buckets["lower"].to_numpy(), buckets[column].to_numpy()
    result = np.array(probability, dtype=np.float32)
    for k in np.unique(model):
        rows = model == k
        result[:, k] = value[rows][bucket_of(probability[:, k], lower[rows])]
    return result


def bucket_of(probability: NDArray[np.floating], lower: Vector) -> NDArray[np.int64]:
    """Index of the bucket that each probability falls into, given the sorted inclusive lower edges of one model."""
    return np.clip(np.searchsorted(lower, np.asarray(probability, dtype=np.float64), side="right") - 1, 0, None)


def _query(
    file: str,
    probability: Matrix,
    success: Matrix,
    models: Sequence[str],
    parameters: Mapping[str, object],
    component: NDArray[np.integer] | None = None,
) -> pa.Table:
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
