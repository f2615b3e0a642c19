"""A pilot: does tuning the encoder pay on this table? A few training texts tell before all of them are trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from routing_assets.datasets.codes import text_codes
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.related import related_rows

MOST_PILOT_TEXTS = 500
MOST_JUDGED_TEXTS = 1_000
LEAST_JUDGED_GROUPS = 30
"""Unrelated groups of texts by which a pilot is judged; fewer do not give a usable standard error."""

Rows = NDArray[np.integer]


class Predictor(Protocol):
    """A trained classifier."""

    def logits(self, instruction: NDArray[np.object_], task: NDArray[np.object_] | None = None) -> NDArray[np.float32]:
        """(N, K) log-odds of success."""
        ...


@dataclass(frozen=True)
class Pilot:
    """Log-loss per label that tuning saved on ``judged`` distinct texts after training on ``trained`` others, and its
    standard error, infinite where nothing could be tried.
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
        if not np.isfinite(self.standard_error):
            return "the training texts are too few unrelated groups to try whether tuning the encoder pays"
        return (
            f"a pilot on {self.trained:,} training texts, judged on {self.judged:,} others, found that tuning lowers "
            f"the log-loss by {self.saved:.3f} ± {self.standard_error:.3f}"
        )


def run_pilot(
    labels: LabelledInstructions,
    train: Rows,
    seed: int,
    frozen: Callable[[Rows], Predictor],
    tuned: Callable[[Rows], Predictor],
) -> Pilot:
    """Train both ways on a part of the rows ``train``, at most half of their texts, and compare them on unrelated
    others.
    """
    own = labels.take(train)
    component = related_rows(own.instruction, own.group)
    position = np.random.default_rng(seed).permutation(component.max() + 1)[component]
    order = np.argsort(position, kind="stable")
    texts = _distinct_so_far(own.instruction[order])
    cut = int(np.searchsorted(texts, min(MOST_PILOT_TEXTS, texts[-1] // 2), side="right"))
    while 0 < cut < len(order) and position[order[cut]] == position[order[cut - 1]]:
        cut -= 1
    trained = int(texts[cut - 1]) if cut else 0
    judged = order[cut : int(np.searchsorted(texts, trained + MOST_JUDGED_TEXTS, side="right"))]
    groups, group = np.unique(component[judged], return_inverse=True)
    if not trained or len(groups) < LEAST_JUDGED_GROUPS:
        return Pilot(0, 0, 0.0, float("inf"))
    rows, held_out = train[order[:cut]], own.take(judged)
    losses = [_loss(fit(rows).logits(held_out.instruction, held_out.task), held_out.success) for fit in (frozen, tuned)]
    known = ~np.isnan(held_out.success)
    saved = np.bincount(group, np.where(known, losses[0] - losses[1], 0.0).sum(axis=1))
    count = np.bincount(group, known.sum(axis=1))
    mean = saved.sum() / count.sum()
    variance = np.square(saved - mean * count).sum() * len(groups) / (len(groups) - 1)
    error = np.sqrt(variance) / count.sum()
    return Pilot(trained, int(texts[cut + len(judged) - 1]) - trained, float(mean), float(error))


def _distinct_so_far(instruction: NDArray[np.object_]) -> NDArray[np.int64]:
    """(N,) how many different texts there are up to each row."""
    _, first = np.unique(text_codes(instruction), return_index=True)
    is_first = np.zeros(len(instruction), dtype=np.int64)
    is_first[first] = 1
    return np.cumsum(is_first)


def _loss(logits: NDArray[np.float32], success: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cross-entropy of each pair; NaN without a label."""
    z = logits.astype(np.float64)
    return np.asarray(np.logaddexp(0.0, z) - success * z)
