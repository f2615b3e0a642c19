"""The control that reads no text: the success rate of each model on each task."""

from __future__ import annotations

import numpy as np

PRIOR_LABELS = 10.0
"""A task's rate is pulled toward the model's rate over all tasks by so many labels."""


def task_rates(train_task: np.ndarray, success: np.ndarray, task: np.ndarray) -> np.ndarray:
    """(n, K) smoothed success rates of the tasks of n instructions; of all tasks where a task was not seen.

    Args:
        train_task: (T,) tasks of the training rows, and ``success`` (T, K) of them, NaN where unlabelled.
        task: (n,) tasks of the instructions.
    """
    names, code = np.unique(train_task.astype(str), return_inverse=True)
    labelled = np.isfinite(success)
    overall = np.where(labelled, success, 0.0).sum(axis=0) / np.maximum(labelled.sum(axis=0), 1)
    successes, labels = (np.zeros((len(names) + 1, success.shape[1])) for _ in range(2))
    np.add.at(successes, code, np.where(labelled, success, 0.0))
    np.add.at(labels, code, labelled)
    rate = (successes + PRIOR_LABELS * overall) / (labels + PRIOR_LABELS)
    place = {name: index for index, name in enumerate(names)}
    return rate[[place.get(str(name), len(names)) for name in task]].astype(np.float32)
