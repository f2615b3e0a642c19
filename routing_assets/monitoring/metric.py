"""A watched figure: its value, what it would be by chance, and whether it exceeds chance and tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DriftMetric:
    """A watched figure. It has drifted if ``value`` exceeds ``threshold``.

    ``noise_floor`` is the value that chance alone exceeds at the metric's share of the false-alarm rate; the threshold
    adds the tolerance. ``model`` is empty for figures of all models together.
    """

    name: str
    value: float
    noise_floor: float
    threshold: float
    words: str
    model: str = ""

    @property
    def drifted(self) -> bool:
        return self.value > self.threshold


def upper_quantile(replicates: np.ndarray, alarm_rate: float) -> float:
    """The value that one more draw without drift exceeds with at most ``alarm_rate``, from (R,) draws without NaN."""
    drawn = np.sort(replicates[~np.isnan(replicates)])
    rank = math.ceil((len(drawn) + 1) * (1 - alarm_rate))  # R draws and the value itself are exchangeable
    return float(drawn[rank - 1]) if rank <= len(drawn) else math.inf


def replicates_for(alarm_rate: float) -> int:
    """Number of draws to estimate the quantile at ``alarm_rate``: about ten of them lie beyond it."""
    return max(1000, math.ceil(10 / alarm_rate))
