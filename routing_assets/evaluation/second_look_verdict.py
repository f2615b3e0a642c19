"""Whether second looks pay, at which budgets, and when there are too few rows to tell.

A claim must hold against the better kind of one call, and for all budgets at once: of many budgets, one looks good by
luck. So the intervals are simultaneous: the bootstrap's quantile is that of the largest deviation over all budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from routing_assets.evaluation.intervals import bootstrap_curves, mean_curves
from routing_assets.evaluation.policies import judged_policy
from routing_assets.evaluation.results import TestedPolicies
from routing_assets.evaluation.second_look import REFIT, SECOND_LOOK
from routing_assets.evaluation.verdict import WORTHWHILE, ranges
from routing_assets.prediction.second_look import FirstModelQuality

LEAST_UNRELATED = 200
"""With fewer unrelated test instructions nothing is claimed: the bootstrap's intervals are then too narrow."""

NOTHING_TOLD = "no model's answers tell more about success than the instruction does"

Answer = Literal["pays", "does not pay", "too few rows to tell"]


@dataclass(frozen=True)
class Gain:
    """Two rounds less the better kind of one call, at one budget, in relative success.

    ``interval`` holds at all budgets at once with 95 %.
    """

    budget_fraction: float
    difference: float
    interval: tuple[float, float]
    answer: Answer


@dataclass(frozen=True)
class SecondLookVerdict:
    """What is known about second looks on a data set.

    Attributes:
        gains: per budget at which both kinds can be paid, by rising budgets.
        text: the verdict in a few sentences.
    """

    gains: tuple[Gain, ...]
    text: str

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budget fractions at which second looks pay."""
        return tuple(gain.budget_fraction for gain in self.gains if gain.answer == "pays")

    @property
    def pays(self) -> bool:
        """Whether they pay at any budget."""
        return bool(self.budgets)

    def pays_at(self, budget_fraction: float) -> bool:
        """Whether they pay at the judged budgets on both sides of this one; beyond the last, at the last."""
        below = [gain for gain in self.gains if gain.budget_fraction <= budget_fraction][-1:]
        above = [gain for gain in self.gains if gain.budget_fraction >= budget_fraction][:1]
        return bool(below) and all(gain.answer == "pays" for gain in below + above)

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        return {"pays": self.pays, "budgets": self.budgets, "text": self.text, "gains": [asdict(g) for g in self.gains]}


def judge_second_looks(
    fractions: np.ndarray,
    splits: Sequence[TestedPolicies],
    first_models: Sequence[Sequence[FirstModelQuality]] = (),
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> SecondLookVerdict:
    """Judge second looks by the test rows of one split or several.

    A second look pays where it gains half a point or more against both kinds of one call (MIP, and MIP on the network
    that reads no answer), and both simultaneous intervals are above zero. It does not where the interval against the
    better one call ends below half a point, nor anywhere if no answer tells anything. In between there are too few rows
    to tell, and so with fewer than ``LEAST_UNRELATED`` unrelated instructions.

    Args:
        fractions: (F,) budgets, as fractions of the dearest model's spend.
        splits: outcomes of ``mip_second_look`` and of both kinds of one call.
        first_models: what the answers tell, per split; said in the text.
        replicates: of the bootstrap, and its ``seed``.
    """
    one_calls = (judged_policy(splits[0].outcomes), REFIT)
    judged = [split.only((SECOND_LOOK, *one_calls)) for split in splits]
    point, drawn = mean_curves(judged), bootstrap_curves(judged, replicates, seed)
    unrelated = len(np.unique(np.concatenate([split.component for split in splits])))
    against = [
        _simultaneous(point.difference(SECOND_LOOK, one)[0], drawn.difference(SECOND_LOOK, one)) for one in one_calls
    ]
    tells = not first_models or any(quality.tells for split in first_models for quality in split)
    gains = []
    for f in np.flatnonzero(np.isfinite(against).all(axis=(0, 2))):
        difference, low, high = min((rows[f].tolist() for rows in against), key=lambda row: row[0])
        sure = min(rows[f, 1] for rows in against) > 0
        answer = _answer(difference, high, sure, unrelated) if tells else "does not pay"
        gains.append(Gain(float(fractions[f]), difference, (low, high), answer))
    if not tells:
        return SecondLookVerdict(tuple(gains), f"Do not look twice: {NOTHING_TOLD}.")
    return SecondLookVerdict(tuple(gains), " ".join([_decision(gains, unrelated), *_first_models(first_models)]))


def _simultaneous(estimate: np.ndarray, drawn: np.ndarray, level: float = 0.95) -> np.ndarray:
    """(F, 3) the estimate (F,) and its interval, which holds for all F at once; ``drawn`` (B, F) are replicates."""
    known = np.flatnonzero(np.isfinite(estimate))
    error = np.nanstd(drawn[:, known], axis=0)
    varying = known[error > 0]
    width = np.where(np.isfinite(estimate), 0.0, np.nan)
    if varying.size:
        deviation = np.abs(drawn[:, varying] - estimate[varying]) / error[error > 0]
        width[varying] = np.nanquantile(np.nanmax(deviation, axis=1), level) * error[error > 0]
    return np.stack([estimate, estimate - width, estimate + width], axis=1)


def _answer(difference: float, high: float, sure: bool, unrelated: int) -> Answer:
    if unrelated < LEAST_UNRELATED:
        return "too few rows to tell"
    if difference >= WORTHWHILE and sure:
        return "pays"
    return "does not pay" if high < WORTHWHILE else "too few rows to tell"


def _decision(gains: Sequence[Gain], unrelated: int) -> str:
    if not gains:
        return "Second looks cannot be judged: no budget pays for one call per instruction."
    paying = [gain for gain in gains if gain.answer == "pays"]
    best = max(paying or gains, key=lambda gain: gain.difference)
    low, high = best.interval
    most = f"{100 * best.difference:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], at {best.budget_fraction:.0%}"
    if paying:
        where = ranges([gain.budget_fraction for gain in paying], [gain.budget_fraction for gain in gains])
        return f"Second looks pay at budgets of {where}, against the better of one call for the same money: {most}."
    if all(gain.answer == "does not pay" for gain in gains):
        return f"Do not look twice: at every budget it gains less than half a point. The most is {most}."
    return (
        f"Too few rows to tell whether second looks pay: over {unrelated} unrelated test instructions no budget shows "
        f"a sure gain of half a point. The most is {most}."
    )


def _first_models(splits: Sequence[Sequence[FirstModelQuality]]) -> list[str]:
    """How many first models' answers tell something, and the figures of the one that tells most; means over splits."""
    if not splits:
        return []
    names = [quality.first for quality in splits[0]]
    telling = [name for name in names if all(_of(split, name).tells for split in splits)]
    if not telling:
        return ["In every split other models' answers tell more about success than the instruction does."]
    best = max(telling, key=lambda name: np.mean([_of(split, name).gain for split in splits]))
    mean = {
        figure: float(np.mean([getattr(_of(split, best), figure) for split in splits]))
        for figure in ("log_loss_without", "log_loss", "auc_without", "auc", "ece_without", "ece")
    }
    return [
        f"Answers tell more than the instruction for {len(telling)} of {len(names)} first models; most for {best}: "
        f"log-loss {mean['log_loss_without']:.3f} without and {mean['log_loss']:.3f} with its answer, AUC "
        f"{mean['auc_without']:.3f} and {mean['auc']:.3f}, calibration error {mean['ece_without']:.3f} and "
        f"{mean['ece']:.3f}."
    ]


def _of(split: Sequence[FirstModelQuality], name: str) -> FirstModelQuality:
    return next(quality for quality in split if quality.first == name)
