"""Whether the answer of a first model tells more than the instruction alone, on rows that nothing learnt from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_assets.prediction.calibration.quality import calibration_metrics, loss_saved
from routing_assets.prediction.second_look.posterior import CrossFit

STANDARD_ERRORS = 3.0
"""An answer counts as telling if its gain is so many standard errors above zero: many first models are tried."""


@dataclass(frozen=True)
class FirstModelQuality:
    """What the posterior after one first model is worth beside the control that reads no answer.

    Means over the K models, of held-out rows: log-loss, AUC and expected calibration error. ``gain`` is the log-loss
    per label that the answer saves, ``standard_error`` counts related rows once.
    """

    first: str
    log_loss: float
    log_loss_without: float
    auc: float
    auc_without: float
    ece: float
    ece_without: float
    gain: float
    standard_error: float

    @property
    def tells(self) -> bool:
        """Whether the answer tells more than the instruction."""
        return self.gain > STANDARD_ERRORS * self.standard_error

    def __str__(self) -> str:
        verdict = "is used" if self.tells else "is not used: its answers tell nothing more than the instruction"
        return (
            f"{self.first} {verdict} (log-loss {self.log_loss_without:.4f} without and {self.log_loss:.4f} with its "
            f"answer, saved {self.gain:.4f} ± {self.standard_error:.4f}; AUC {self.auc_without:.3f} and {self.auc:.3f})"
        )


def telling(quality: Iterable[FirstModelQuality]) -> tuple[str, ...]:
    """The first models whose answers tell more than the instruction."""
    return tuple(first.first for first in quality if first.tells)


def judge_first_models(
    fit: CrossFit, success: NDArray[np.float32], component: NDArray[np.integer]
) -> tuple[FirstModelQuality, ...]:
    """One judgement per first model, by cross-fitted probabilities of n rows.

    Args:
        success: (n, K), NaN where unlabelled.
        component: (n,) equal for related rows, which count as one observation.
    """
    models = fit.posterior.models
    without = _means(fit.without_answer, success, models)
    return tuple(
        _judge(first, fit.after[j], fit.without_answer, success, component, without, models)
        for j, first in enumerate(fit.posterior.first)
    )


def _judge(
    first: str,
    after: NDArray[np.float32],
    control: NDArray[np.float32],
    success: NDArray[np.float32],
    component: NDArray[np.integer],
    without: dict[str, float],
    models: Sequence[str],
) -> FirstModelQuality:
    gain, error = loss_saved(after, control, success, component)
    with_it = _means(after, success, models)
    return FirstModelQuality(
        first,
        with_it["log_loss"],
        without["log_loss"],
        with_it["auc"],
        without["auc"],
        with_it["ece"],
        without["ece"],
        gain,
        error,
    )


def _means(probability: NDArray[np.float32], success: NDArray[np.float32], models: Sequence[str]) -> dict[str, float]:
    table = calibration_metrics(probability, success, models)
    return {name: float(np.nanmean(table[name].to_numpy())) for name in ("log_loss", "auc", "ece")}
