"""All watched figures in one report, with advice: do nothing, recalibrate (cheap) or retrain (expensive)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring.calibration import Decisions, calibration_drift, metric_count
from routing_assets.monitoring.metric import DriftMetric
from routing_assets.monitoring.population import Embeddings, Occupancy, embedding_shift, occupancy_shift

Advice = Literal["none", "recalibrate", "retrain"]
_CALIBRATION = ("success_gap", "ece", "brier", "log_loss")
_POPULATION = ("bucket_psi", "embedding_auc")


@dataclass(frozen=True)
class DriftSettings:
    """What counts as drift.

    Attributes:
        false_alarm_rate: how often a report may find drift where there is none; divided evenly among its figures
            (Bonferroni), so it is an upper bound.
        tolerance: tolerated difference between predicted and observed success rates.
        ranking_tolerance: tolerated loss of AUC within models.
        tolerated_psi: tolerated population stability index of a model's probabilities (0.1: a small shift by
            convention).
        tolerated_auc: tolerated AUC of telling recent from earlier embeddings.
        seed: of every random draw.
    """

    false_alarm_rate: float = 0.05
    tolerance: float = 0.02
    ranking_tolerance: float = 0.03
    tolerated_psi: float = 0.1
    tolerated_auc: float = 0.55
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_rate < 1:
            raise InvalidInput(f"the false-alarm rate is {self.false_alarm_rate}", remedy="Give a rate between 0 and 1")


@dataclass(frozen=True)
class DriftReport:
    """The figures, the advice and its reason."""

    metrics: tuple[DriftMetric, ...]
    advice: Advice
    why: str
    judged: int = 0
    """Number of independent outcomes that the advice rests on."""

    @property
    def drifted(self) -> tuple[DriftMetric, ...]:
        """The figures beyond their thresholds."""
        return tuple(metric for metric in self.metrics if metric.drifted)


def drift_report(
    decisions: Decisions | None = None,
    occupancy: Occupancy | None = None,
    embeddings: Embeddings | None = None,
    settings: DriftSettings = DriftSettings(),
) -> DriftReport:
    """Report on whatever is given: outcomes of decisions, occupancy, embeddings.

    Raises InvalidInput if nothing is given.
    """
    judged = decisions is not None and len(decisions) > 0
    count = metric_count(decisions) if decisions is not None and judged else 0
    count += len(occupancy.models) if occupancy is not None else 0
    count += embeddings is not None
    if count == 0:
        raise InvalidInput("there is no data to judge drift by", remedy="Load outcomes or route a batch first")
    alarm_rate = settings.false_alarm_rate / count
    metrics: list[DriftMetric] = []
    if decisions is not None and judged:
        metrics += calibration_drift(
            decisions,
            alarm_rate=alarm_rate,
            tolerance=settings.tolerance,
            ranking_tolerance=settings.ranking_tolerance,
            seed=settings.seed,
        )
    if occupancy is not None:
        metrics += occupancy_shift(
            occupancy, alarm_rate=alarm_rate, tolerated_psi=settings.tolerated_psi, seed=settings.seed
        )
    if embeddings is not None:
        metrics.append(
            embedding_shift(embeddings, alarm_rate=alarm_rate, tolerated_auc=settings.tolerated_auc, seed=settings.seed)
        )
    return DriftReport(tuple(metrics), *recalibrate(metrics), len(decisions) if decisions is not None else 0)


def recalibrate(metrics: list[DriftMetric]) -> tuple[Advice, str]:
    """Whether to recalibrate or retrain, and why.

    New temperatures and buckets correct probabilities that are off but still rank instructions well, if the
    instructions are of a known kind. If the ranking is lost, or predictions fail on instructions of a new kind, only a
    new classifier helps.
    """
    drifted = {metric.name: metric for metric in reversed(metrics) if metric.drifted}  # the first figure of a name wins
    off = [name for name in _CALIBRATION if name in drifted]
    shifted = [name for name in _POPULATION if name in drifted]
    if "ranking" in drifted:
        return "retrain", f"probabilities no longer rank instructions well: {_figure(drifted['ranking'])}"
    if off and "embedding_auc" in drifted:
        new = _figure(drifted["embedding_auc"])
        return "retrain", f"predictions fail ({_figure(drifted[off[0]])}) on instructions of a new kind ({new})"
    if off:
        return "recalibrate", f"probabilities are off but still rank instructions well: {_figure(drifted[off[0]])}"
    if not shifted:
        return "none", "every figure is within what chance and tolerance explain"
    if any(metric.name in _CALIBRATION for metric in metrics):
        return "none", f"instructions changed ({_figure(drifted[shifted[0]])}), but predictions still hold"
    return (
        "none",
        f"instructions changed ({_figure(drifted[shifted[0]])}); only outcomes can show whether predictions still hold",
    )


def _figure(metric: DriftMetric) -> str:
    of = f" of {metric.model}" if metric.model else ""
    return f"{metric.name}{of} is {metric.value:.3g}, over {metric.threshold:.3g} ({metric.words})"
