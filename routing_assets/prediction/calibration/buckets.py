"""From logits to probabilities that can be trusted: one temperature per model, then the observed rate of each bucket.

Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks". Histogram binning: Zadrozny & Elkan
2001.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]

STEPS = ("raw", "scaled", "calibrated", "decision")
"""The estimates of a router, in the order of its steps: fields of its ``ProbabilityMatrix``."""
LOG_TEMPERATURES = (-3.0, 3.0)
"""Bounds of the search for a temperature, as logarithms."""
SETTINGS = b"settings"
"""In the metadata of a bucket table: JSON of the ``CalibrationConfig`` that it was fitted with."""

_COUNTED = pa.schema(
    [
        ("model_index", pa.int32()),
        ("bucket", pa.int32()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("count", pa.int64()),
        *((name, pa.float64()) for name in ("mean_probability", "observed_rate", "calibrated")),
        *((name, pa.float64()) for name in ("wilson_lower", "wilson_upper", "weight")),
    ]
)


@dataclass(frozen=True)
class CalibrationConfig:
    """How temperatures and buckets are fitted.

    ``temperature_prior`` is the strength, in labels, with which a model's temperature is pulled toward the one shared
    by all models. ``sharpness_prior`` is the strength, in instructions, with which the whole classifier's temperature
    is pulled toward the temperature of its out-of-fold logits.

    Attributes:
        buckets: most buckets per model.
        min_count: least labels per bucket; a model with few labels gets fewer buckets.
        equal_width: buckets of equal width over [0, 1], instead of about as many labels in each.
        monotone: rates never fall from one bucket to the next.
        smoothing: how many labels with the model's mean rate are added to each bucket.
        z: normal quantile of the Wilson interval, 1.96 for 95 %.
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
    labelled = ~np.isnan(success)
    of_models = [
        _buckets_of(k, probability[labelled[:, k], k], success[labelled[:, k], k], config)
        for k in np.flatnonzero(labelled.any(axis=0)).tolist()
    ]
    fitted = pa.concat_tables([_COUNTED.empty_table(), *of_models]).combine_chunks()
    if config.monotone:
        fitted = _isotonic(fitted)
    names = pa.array([models[k] for k in fitted["model_index"].to_pylist()], pa.string())
    named = fitted.add_column(1, "model", names).drop_columns(["weight"])
    return named.replace_schema_metadata({SETTINGS: json.dumps(asdict(config))})


def _buckets_of(
    k: int, probability: NDArray[np.floating], success: NDArray[np.floating], config: CalibrationConfig
) -> pa.Table:
    """The buckets of model ``k``, from its n > 0 labelled probabilities; ``weight`` is the count with the smoothing."""
    order = np.argsort(probability, kind="stable")
    p, s = probability[order].astype(np.float64), success[order].astype(np.float64)
    n = len(p)
    most = max(1, min(config.buckets, n // config.min_count))
    if config.equal_width:
        tile = np.minimum(most - 1, np.floor(p * most))
    else:  # equal probabilities go into one bucket, that of the last of them
        tile = (np.searchsorted(p, p, side="right") - 1) * most // n
    first = np.flatnonzero(np.diff(tile, prepend=-1))
    count = np.diff(first, append=n)
    successes = np.add.reduceat(s, first)
    edges = tile[first] / most if config.equal_width else p[first]
    weight = count + config.smoothing
    wilson_lower, wilson_upper = _wilson(successes / count, count, config.z)
    columns = {
        "model_index": np.full(len(first), k),
        "bucket": np.arange(len(first)),
        "lower": np.concatenate([[0.0], edges[1:]]),
        "upper": np.concatenate([edges[1:], [1.0]]),
        "count": count,
        "mean_probability": np.add.reduceat(p, first) / count,
        "observed_rate": successes / count,
        "calibrated": (successes + config.smoothing * s.mean()) / weight,
        "wilson_lower": wilson_lower,
        "wilson_upper": wilson_upper,
        "weight": weight,
    }
    return pa.table(columns).cast(_COUNTED)


def _wilson(rate: Vector, count: NDArray[np.integer], z: float) -> tuple[Vector, Vector]:
    """Ends of the Wilson interval (1927) of observed rates."""
    centre = rate + z * z / (2 * count)
    half_width = z * np.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return np.maximum(0.0, (centre - half_width) / scale), np.minimum(1.0, (centre + half_width) / scale)


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
