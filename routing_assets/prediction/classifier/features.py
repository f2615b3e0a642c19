"""What is known of an instruction besides its meaning: its length, its template (shared preamble) and, when given, its
task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_assets.prediction.encoder.text import SharedBlock, TextPreparation

LEAST_TASK_ROWS = 10


@dataclass(frozen=True)
class InstructionFeatures:
    """Maps instructions to a small matrix; fitted on training instructions only.

    Columns: standardised logarithms of characters, words and lines; one column per template; one per frequent task
    (all zero when the task is unknown).
    """

    center: tuple[float, ...]
    spread: tuple[float, ...]
    templates: tuple[SharedBlock, ...]
    tasks: tuple[str, ...]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> InstructionFeatures:
        """Inverse of ``dataclasses.asdict``."""
        columns = {name: tuple(column) for name, column in values.items()}
        return cls(**columns | {"templates": tuple(map(SharedBlock.from_json, columns["templates"]))})

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.center) + len(self.templates) + len(self.tasks)

    def matrix(
        self, instruction: Sequence[str], prepared: Sequence[str], task: Sequence[str | None] | None = None
    ) -> NDArray[np.float32]:
        """(N, width) float32 for the raw and the prepared texts."""
        lengths = (_lengths(prepared) - np.array(self.center)) / np.array(self.spread)
        templates = np.array([[block.begins(text) for block in self.templates] for text in instruction])
        tasks = np.zeros((len(instruction), len(self.tasks)))
        if task is not None:
            tasks = np.asarray(task, object)[:, None] == np.array(self.tasks, object)
        parts = (lengths, templates.reshape(len(instruction), -1), tasks)
        return np.concatenate(parts, axis=1).astype(np.float32)


def fit_features(
    prepared: Sequence[str], preparation: TextPreparation, task: Sequence[str | None] | None = None
) -> InstructionFeatures:
    """Fit on training instructions; tasks with fewer than :data:`LEAST_TASK_ROWS` instructions get no column."""
    lengths = _lengths(prepared)
    counts = Counter(name for name in task if name is not None) if task is not None else Counter[str]()
    tasks = tuple(sorted(name for name, count in counts.items() if count >= LEAST_TASK_ROWS))
    return InstructionFeatures(
        tuple(lengths.mean(0).tolist()), tuple((lengths.std(0) + 1e-6).tolist()), preparation.preambles, tasks
    )


def _lengths(texts: Sequence[str]) -> NDArray[np.float64]:
    counts = [[len(text) for text in texts], *([text.count(mark) for text in texts] for mark in " \n")]
    return np.log1p(np.column_stack(counts))
