"""The training texts: each distinct text once, with its mean success, the number of its labels, and its fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_assets.datasets.labels import LabelledInstructions

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]

FOLDS = 60
"""Training texts are dealt into this many fine folds; a member leaves out every P-th of them, P a divisor."""


@dataclass(frozen=True, eq=False)
class TrainingTexts:
    """Distinct texts with their labels: mean success and label count, (D, K), and soft success likewise where the
    table has it; rows of ``train`` lie in folds 0…, others in -1.
    """

    success: Matrix
    weight: Matrix
    train: Rows
    validation: Rows
    fold: NDArray[np.int64]
    soft_success: Matrix | None = None
    soft_weight: Matrix | None = None

    def targets(self) -> tuple[Matrix, Matrix]:
        """What a network learns, and how many labels are behind it: success (D, K), and soft success in K more columns
        where it is known.

        Soft success says how near each model came, far more than the bare outcome, so that a network that predicts
        both reads the text better (multi-task learning, Caruana 1997). It counts nothing on validation rows: success
        alone stops the training.
        """
        if self.soft_success is None or self.soft_weight is None:
            return self.success, self.weight
        counted = self.soft_weight.copy()
        counted[self.validation] = 0
        return np.hstack([self.success, self.soft_success]), np.hstack([self.weight, counted])


def distinct_texts(used: LabelledInstructions, train: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row of each distinct (text, task, part), and for each row the index of its distinct text."""
    task = used.task if used.task is not None else [""] * len(used)
    seen: dict[tuple[str, str, bool], int] = {}
    first: list[int] = []
    inverse = np.empty(len(used), dtype=np.int64)
    for row, key in enumerate(zip(used.instruction, map(str, task), np.arange(len(used)) < train, strict=True)):
        if key not in seen:
            seen[key] = len(first)
            first.append(row)
        inverse[row] = seen[key]
    return np.array(first, dtype=np.int64), inverse


def training_texts(
    used: LabelledInstructions,
    distinct: NDArray[np.int64],
    text_of_row: NDArray[np.int64],
    train: int,
    seed: int,
) -> TrainingTexts:
    """Labels of the ``distinct`` texts; rows before ``train`` train, and a group never straddles two folds."""
    success, weight = _mean_per_text(used.success, text_of_row, len(distinct))
    soft_success, soft_weight = (
        (None, None) if used.soft_success is None else _mean_per_text(used.soft_success, text_of_row, len(distinct))
    )
    in_train = distinct < train
    keys = (
        used.instruction if used.group is None else [g or t for g, t in zip(used.group, used.instruction, strict=True)]
    )
    fold = np.full(len(distinct), -1, dtype=np.int64)
    rng = np.random.default_rng(seed)
    fold[in_train] = assign_folds([keys[row] for row in distinct[in_train]], FOLDS, rng)
    rows = np.arange(len(distinct))
    return TrainingTexts(success, weight, rows[in_train], rows[~in_train], fold, soft_success, soft_weight)


def _mean_per_text(values: NDArray[np.floating], text_of_row: NDArray[np.int64], texts: int) -> tuple[Matrix, Matrix]:
    """Mean of the known values of each text (0 where there is none) and their number, each (texts, K)."""
    total, known = (np.zeros((texts, values.shape[1]), dtype=np.float32) for _ in range(2))
    np.add.at(total, text_of_row, np.nan_to_num(values))
    np.add.at(known, text_of_row, (~np.isnan(values)).astype(np.float32))
    return np.asarray(total / np.maximum(known, 1), dtype=np.float32), known


def success_rates(success: Matrix, weight: Matrix) -> NDArray[np.float64]:
    """Mean success of each model, (K,), pulled toward the mean of all models by ten labels' worth."""
    total, labels = (success * weight).sum(0, dtype=np.float64), weight.sum(0, dtype=np.float64)
    return np.asarray((total + 10 * total.sum() / max(1.0, labels.sum())) / (labels + 10))


def assign_folds(keys: Sequence[object], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fold for each key; equal keys share one, and folds differ by few distinct keys."""
    distinct, inverse = np.unique(np.asarray([str(key) for key in keys]), return_inverse=True)
    return rng.permutation(np.arange(len(distinct)) % folds)[inverse]
