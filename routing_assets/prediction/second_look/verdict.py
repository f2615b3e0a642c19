"""Whether second looks pay, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from routing_assets.foundation.ranges import ranges
from routing_assets.prediction.second_look.gain import Gain
from routing_assets.prediction.second_look.quality import FirstModelQuality

NOTHING_TOLD = "no model's answers tell more about success than the instruction does"


@dataclass(frozen=True)
class SecondLookVerdict:
    """What is known about second looks on a label table.

    Attributes:
        gains: by rising budgets, where both kinds can be paid; none where no answer tells anything.
        text: the verdict in a few sentences.
    """

    gains: tuple[Gain, ...]
    text: str

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budget fractions at which second looks pay."""
        return tuple(gain.budget_fraction for gain in self.gains if gain.pays)

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        gains = [
            {
                "budget_fraction": gain.budget_fraction,
                "difference": gain.gain,
                "interval": (gain.lower, gain.upper),
                "answer": gain.answer,
            }
            for gain in self.gains
        ]
        return {"pays": bool(self.budgets), "budgets": self.budgets, "text": self.text, "gains": gains}


def second_look_verdict(gains: Sequence[Gain], splits: Sequence[Sequence[FirstModelQuality]]) -> SecondLookVerdict:
    """Put the gains in words, and what the answers of the first models told in each split."""
    if not any(quality.tells for split in splits for quality in split):
        return SecondLookVerdict((), f"Do not look twice: {NOTHING_TOLD}.")
    return SecondLookVerdict(tuple(gains), f"{_decision(gains)} {_first_models(splits)}")


def _decision(gains: Sequence[Gain]) -> str:
    if not gains:
        return "Second looks cannot be judged: no budget pays for one call per instruction."
    paying = [gain for gain in gains if gain.pays]
    most = max(paying or gains, key=lambda gain: gain.gain)
    if paying:
        where = ranges([gain.budget_fraction for gain in paying], [gain.budget_fraction for gain in gains])
        return f"Second looks pay at budgets of {where}, against one call for the same money: {most}."
    if all(gain.answer == "does not pay" for gain in gains):
        return f"Do not look twice: at every budget it gains less than half a point. The most is {most}."
    return (
        f"Too few rows to tell whether second looks pay: over {most.unrelated} unrelated instructions no budget shows "
        f"a sure gain of half a point. The most is {most}."
    )


def _first_models(splits: Sequence[Sequence[FirstModelQuality]]) -> str:
    """How many first models' answers tell something, and the figures of the one that tells most; means over splits."""
    by_model = list(zip(*splits, strict=True))
    telling = [qualities for qualities in by_model if all(quality.tells for quality in qualities)]
    if not telling:
        return "In every split other models' answers tell more about success than the instruction does."
    best = max(telling, key=lambda qualities: np.mean([quality.gain for quality in qualities]))

    def mean(figure: str) -> str:
        return f"{np.mean([getattr(quality, figure) for quality in best]):.3f}"

    return (
        f"Answers tell more than the instruction for {len(telling)} of {len(by_model)} first models; most for "
        f"{best[0].first}: log-loss {mean('log_loss_without')} without and {mean('log_loss')} with its answer, AUC "
        f"{mean('auc_without')} and {mean('auc')}, calibration error {mean('ece_without')} and {mean('ece')}."
    )
