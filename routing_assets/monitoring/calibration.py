"""Compare the outcomes of decisions with the probabilities that were predicted for them.

Without drift each outcome is a success with its predicted probability. Outcomes drawn in this way (a parametric
bootstrap) show what ECE, Brier score, log-loss and ranking look like by chance alone in a sample of this size and mix.
There is no normal approximation, so a handful of outcomes raises no alarm. A million outcomes need not be perfect: a
miscalibration of up to ``tolerance`` raises no alarm, for each figure in its own unit. Brier score and log-loss are
given as the *excess* over their expected value under the predictions, since (p-y)^2 - p(1-p) = (y-p)(1-2p) and
-y log p - (1-y) log(1-p) - H(p) = -(y-p) logit p. Outcomes are taken as independent: pass one copy of each text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring.metric import DriftMetric, replicates_for, upper_quantile

_GROUPS = 128
_BINS = 10
_CLIP = 1e-6


@dataclass(frozen=True, eq=False)
class Decisions:
    """N dispatched instructions whose outcome is known.

    ``predicted`` (N,) is the probability of success at the time of the decision, ``success`` (N,) in [0, 1] the
    outcome, ``model`` (N,) the model that answered.
    """

    predicted: np.ndarray
    success: np.ndarray
    model: np.ndarray

    def __post_init__(self) -> None:
        for name, values in (("predicted", self.predicted), ("success", self.success)):
            if not ((values >= 0) & (values <= 1)).all():
                raise InvalidInput(
                    f"{name} has values outside [0, 1] or missing", remedy="Leave out decisions without an outcome"
                )

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that answered."""
        return tuple(np.unique(self.model.astype(str)).tolist())


def metric_count(decisions: Decisions) -> int:
    """How many figures :func:`calibration_drift` watches."""
    return 5 + len(decisions.models)


def calibration_drift(
    decisions: Decisions, *, alarm_rate: float, tolerance: float, ranking_tolerance: float, seed: int
) -> list[DriftMetric]:
    """``success_gap``, ``ece``, ``brier``, ``log_loss`` and ``ranking`` of all decisions, and each model's
    ``success_gap``.

    Args:
        alarm_rate: how often each figure may exceed its threshold without drift.
        tolerance: tolerated difference between predicted and observed success rates.
        ranking_tolerance: tolerated loss of AUC.
    """
    groups = _Groups.of(decisions)
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(groups.count, groups.predicted, size=(replicates_for(alarm_rate), len(groups.count)))
    now, chance = groups.statistics(groups.success[None, :]), groups.statistics(drawn.astype(np.float64))
    p = np.clip(groups.predicted, _CLIP, 1 - _CLIP)
    share = groups.count / groups.count.sum()
    expected_auc = float(np.nanmean(chance["auc"])) if not np.isnan(chance["auc"]).all() else float("nan")
    predicted, observed = decisions.predicted.mean(), decisions.success.mean()

    def metric(name: str, tolerated: float, words: str, model: str = "") -> DriftMetric:
        key = f"{name}|{model}" if model else name
        value, floor = float(now[key][0]), upper_quantile(chance[key], alarm_rate)
        return DriftMetric(name, value, floor, floor + tolerated, words, model)

    for statistics in (now, chance):
        statistics["ranking"] = expected_auc - statistics.pop("auc")
    metrics = [
        metric("success_gap", tolerance, f"{observed:.3f} of the decisions succeeded, {predicted:.3f} was predicted"),
        metric("ece", tolerance, "mean distance of observed from predicted success rates over ten bins"),
        metric("brier", tolerance * float(share @ abs(1 - 2 * p)), "excess of the Brier score over its expected value"),
        metric("log_loss", tolerance * float(share @ abs(_logit(p))), "excess of the log-loss over its expected value"),
        metric("ranking", ranking_tolerance, f"loss of AUC within models, of {expected_auc:.3f} expected"),
    ]
    for k, model in enumerate(decisions.models):
        count = int(groups.count[groups.model == k].sum())
        metrics.append(metric("success_gap", tolerance, f"predicted against observed in {count} decisions", model))
    return metrics


@dataclass(frozen=True, eq=False)
class _Groups:
    """Decisions of one model with about equal predictions, (G,) each; by model, then by prediction."""

    models: tuple[str, ...]
    model: np.ndarray
    predicted: np.ndarray
    count: np.ndarray
    success: np.ndarray

    @classmethod
    def of(cls, decisions: Decisions) -> _Groups:
        """At most about ``_GROUPS`` groups (and one more per model); each calibrated bucket stays its own group."""
        names, code = np.unique(decisions.model.astype(str), return_inverse=True)
        order = np.lexsort((decisions.predicted, code))
        code, predicted = code[order], decisions.predicted[order].astype(np.float64)
        new = np.concatenate([[True], (np.diff(predicted) != 0) | (np.diff(code) != 0)])
        if new.sum() > _GROUPS:
            place = np.arange(len(code)) * _GROUPS // len(code)
            new = np.concatenate([[True], (np.diff(place) != 0) | (np.diff(code) != 0)])
        first = np.flatnonzero(new)
        count = np.diff([*first, len(code)])
        mean = np.clip(np.add.reduceat(predicted, first) / count, 0.0, 1.0)
        success = np.add.reduceat(decisions.success[order].astype(np.float64), first)
        return cls(tuple(names.tolist()), code[first], mean, count, success)

    def statistics(self, success: np.ndarray) -> dict[str, np.ndarray]:
        """The figures of (R, G) successes, (R,) each; ``success_gap|model`` per model."""
        total = self.count.sum()
        residual = success - self.count * self.predicted
        p = np.clip(self.predicted, _CLIP, 1 - _CLIP)
        per_model = residual @ (self.model[:, None] == np.arange(len(self.models)))
        gaps = np.abs(per_model) / np.bincount(self.model, self.count)
        return {
            "success_gap": np.abs(residual.sum(axis=1)) / total,
            "ece": np.abs(residual @ self._bins()).sum(axis=1) / total,
            "brier": residual @ (1 - 2 * p) / total,
            "log_loss": -residual @ _logit(p) / total,
            "auc": self._auc(success),
            **{f"success_gap|{model}": gaps[:, k] for k, model in enumerate(self.models)},
        }

    def _bins(self) -> np.ndarray:
        """(G, bins) one-hot: equal mass over the predictions of all models."""
        order = np.argsort(self.predicted, kind="stable")
        middle = np.cumsum(self.count[order]) - self.count[order] / 2
        bins = np.empty(len(order), np.int64)
        bins[order] = (middle / self.count.sum() * _BINS).astype(np.int64)
        return np.eye(_BINS)[bins]

    def _auc(self, success: np.ndarray) -> np.ndarray:
        """P(a success was predicted above a failure of the same model), ties one half; NaN without such pairs."""
        failure = self.count - success
        concordant, pairs = np.zeros(len(success)), np.zeros(len(success))
        for k in range(len(self.models)):
            s, f = success[:, self.model == k], failure[:, self.model == k]
            concordant += (s * (np.cumsum(f, axis=1) - f / 2)).sum(axis=1)
            pairs += s.sum(axis=1) * f.sum(axis=1)
        return np.divide(concordant, pairs, out=np.full(len(success), np.nan), where=pairs > 0)


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)
