"""The training texts: each distinct text once, with its mean success, the number of its labels, and its fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_assets.datasets.codes import text_codes
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.related import related_rows

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]

FOLDS = 60
"""Training texts are dealt into this many folds. A member that leaves out one of P parts leaves out every P-th fold."""


@dataclass(frozen=True, eq=False)
class TrainingTexts:
    """Distinct texts with their labels: mean success and label count, (D, K).

    ``fold`` (D,) is -1 for rows that are not in ``train``.
    """

    success: Matrix
    weight: Matrix
    train: Rows
    validation: Rows
    fold: NDArray[np.int64]


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
    """Labels of the ``distinct`` texts; rows before ``train`` train, and related rows never straddle two folds."""
    shape = (len(distinct), len(used.models))
    total, weight = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    np.add.at(total, text_of_row, np.nan_to_num(used.success) * used.calls)
    np.add.at(weight, text_of_row, used.calls)
    in_train = distinct < train
    _, first, component = np.unique(related_rows(used.instruction, used.group), return_index=True, return_inverse=True)
    keys = used.instruction[first][component]
    fold = np.full(len(distinct), -1, dtype=np.int64)
    rng = np.random.default_rng(seed)
    fold[in_train] = assign_folds([keys[row] for row in distinct[in_train]], FOLDS, rng)
    rows = np.arange(len(distinct))
    mean = (total / np.maximum(weight, 1)).astype(np.float32)
    return TrainingTexts(mean, weight, rows[in_train], rows[~in_train], fold)


def success_rates(success: Matrix, weight: Matrix) -> NDArray[np.float64]:
    """Mean success of each model, (K,), pulled toward the mean of all models by a prior of ten labels."""
    total, labels = (success * weight).sum(0, dtype=np.float64), weight.sum(0, dtype=np.float64)
    return np.asarray((total + 10 * total.sum() / max(1.0, labels.sum())) / (labels + 10))


def assign_folds(keys: Sequence[object], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fold for each key; equal keys share one, and folds differ by few distinct keys."""
    codes = text_codes([str(key) for key in keys])
    return rng.permutation(np.arange(codes.max(initial=-1) + 1) % folds)[codes]
