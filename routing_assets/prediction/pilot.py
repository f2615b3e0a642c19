"""A pilot: does tuning the encoder pay on this table? A few training texts are asked before much is spent on all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.related import related_rows

MOST_PILOT_ROWS = 500
MOST_JUDGED_ROWS = 1_000

Rows = NDArray[np.integer]


class Predictor(Protocol):
    """A trained classifier."""

    def logits(self, instruction: NDArray[np.object_], task: NDArray[np.object_] | None = None) -> NDArray[np.float32]:
        """(N, K) log-odds of success."""
        ...


@dataclass(frozen=True)
class Pilot:
    """Log-loss per label that tuning saved on ``judged`` rows after training on ``trained`` others, and its standard
    error.
    """

    trained: int
    judged: int
    saved: float
    standard_error: float

    @property
    def pays(self) -> bool:
        """Whether the saving is more than a standard error."""
        return self.saved > self.standard_error

    def __str__(self) -> str:
        return (
            f"a pilot on {self.trained:,} training rows, judged on {self.judged:,} others, found that tuning lowers "
            f"the log-loss by {self.saved:.3f} ± {self.standard_error:.3f}"
        )


def run_pilot(
    labels: LabelledInstructions,
    train: Rows,
    seed: int,
    frozen: Callable[[Rows], Predictor],
    tuned: Callable[[Rows], Predictor],
) -> Pilot:
    """Train both ways on a part of the rows ``train``, at most half, and compare them on unrelated others."""
    own = labels.take(train)
    component = related_rows(own.instruction, own.group)
    position = np.random.default_rng(seed).permutation(component.max() + 1)[component]
    order = np.argsort(position, kind="stable")
    cut = min(MOST_PILOT_ROWS, len(order) // 2)
    while cut < len(order) and position[order[cut]] == position[order[cut - 1]]:
        cut += 1
    rows, judged = train[order[:cut]], order[cut : cut + MOST_JUDGED_ROWS]
    held_out = own.take(judged)
    losses = [_loss(fit(rows).logits(held_out.instruction, held_out.task), held_out.success) for fit in (frozen, tuned)]
    known = ~np.isnan(held_out.success)
    saved, count = np.zeros(component.max() + 1), np.zeros(component.max() + 1)
    np.add.at(saved, component[judged], np.where(known, losses[0] - losses[1], 0.0).sum(axis=1))
    np.add.at(count, component[judged], known.sum(axis=1))
    counted = max(1.0, count.sum())
    mean = saved.sum() / counted
    error = np.sqrt(np.square(saved - mean * count).sum()) / counted
    return Pilot(len(rows), len(judged), float(mean), float(error))


def _loss(logits: NDArray[np.float32], success: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cross-entropy of each pair; NaN without a label."""
    z = logits.astype(np.float64)
    return np.asarray(np.logaddexp(0.0, z) - success * z)
