"""Compare the outcomes of a batch with the predictions of its decision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from routing_assets.datasets.outcomes import Outcomes, match_outcomes


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Realised:
    """A routed batch compared with its outcomes. Means are over the instructions whose outcome is known."""

    instructions: int
    judged: int
    """Instructions whose success is known."""
    billed: int
    """Instructions whose cost is known."""
    strays: int
    """Outcomes that match no routed pair of instruction and model."""
    predicted_success: float
    realised_success: float
    success_interval: Interval
    """Wilson interval of the realised success rate."""
    success_gap: Interval
    """Interval of realised minus predicted success; for calibrated predictions it contains 0."""
    estimated_usd: float
    """Estimated USD of the billed instructions."""
    realised_usd: float
    """Billed USD of the same instructions."""
    cost_ratio: float
    """Realised over estimated USD; NaN if nothing was billed or estimated."""
    cost_ratio_interval: Interval
    expected_total_usd: float
    """Expected USD of the whole batch: the known bills, plus the estimate of the rest times ``cost_ratio``."""


def realised(routed: pa.Table, outcomes: Outcomes) -> Realised:
    """Realised against predicted success and spend of one batch; a missing outcome is counted, not taken as failure."""
    matched, strays = match_outcomes(routed, outcomes)
    return compare(matched, strays)


def compare(matched: pa.Table, strays: int = 0) -> Realised:
    """The same of a routed table that has its outcomes beside it, see :func:`match_outcomes`."""
    predicted, estimate, success, bill = (
        matched[name].to_numpy(zero_copy_only=False).astype(np.float64)
        for name in ("expected_success", "cost", "success", "billed_usd")
    )
    judged, billed = ~np.isnan(success), ~np.isnan(bill)
    y, p = success[judged], predicted[judged]
    ratio, ratio_interval = _ratio(bill[billed], estimate[billed])
    known = math.fsum(bill[billed])
    return Realised(
        instructions=matched.num_rows,
        judged=int(judged.sum()),
        billed=int(billed.sum()),
        strays=strays,
        predicted_success=_mean(p),
        realised_success=_mean(y),
        success_interval=_wilson(y),
        success_gap=_mean_interval(y - p),
        estimated_usd=math.fsum(estimate[billed]),
        realised_usd=known,
        cost_ratio=ratio,
        cost_ratio_interval=ratio_interval,
        expected_total_usd=known + math.fsum(estimate[~billed]) * (1.0 if math.isnan(ratio) else ratio),
    )


_Z = 1.959963984540054


def _mean(values: np.ndarray) -> float:
    return math.fsum(values) / len(values) if len(values) else math.nan


def _wilson(success: np.ndarray) -> Interval:
    n = len(success)
    if n == 0:
        return Interval(0.0, 1.0)
    rate, z2 = _mean(success), _Z**2
    centre, spread = rate + z2 / (2 * n), _Z * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return Interval(max(0.0, (centre - spread) / (1 + z2 / n)), min(1.0, (centre + spread) / (1 + z2 / n)))


def _mean_interval(values: np.ndarray) -> Interval:
    if len(values) < 2:
        return Interval(-1.0, 1.0)
    error = _Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(_mean(values) - error, _mean(values) + error)


def _ratio(bill: np.ndarray, estimate: np.ndarray) -> tuple[float, Interval]:
    """Ratio of sums, with the delta method's interval (Cochran 1977, 6.4)."""
    total = math.fsum(estimate)
    if total == 0:
        return math.nan, Interval(0.0, math.inf)
    ratio = math.fsum(bill) / total
    if len(bill) < 2:
        return ratio, Interval(0.0, math.inf)
    error = _Z * float((bill - ratio * estimate).std(ddof=1)) * math.sqrt(len(bill)) / total
    return ratio, Interval(max(0.0, ratio - error), ratio + error)
