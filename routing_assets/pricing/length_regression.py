"""Ridge regression of a call's cost on the length of its text and, where known, its task.

Piecewise linear in the text's proxy tokens (hinges at the deciles of the training texts): on RouterBench that explains
three quarters of the variance between calls, because templates differ in length; hashed words added nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from routing_assets.datasets.tokens import proxy_tokens

_DECILES = np.linspace(0.1, 0.9, 9)


@dataclass(frozen=True, eq=False)
class LengthRegression:
    """cost = max(intercept + features @ weights, floor), in USD.

    Attributes:
        knots: (H,) proxy tokens at which the slope may change.
        tasks: tasks with an offset of their own; empty when tasks are not used.
        intercept: (K,) USD.
        weights: (1 + H + T, K) USD per unit of each feature.
        floor: (K,) USD, half of the cheapest call in training.
    """

    knots: np.ndarray
    tasks: tuple[str, ...]
    intercept: np.ndarray
    weights: np.ndarray
    floor: np.ndarray

    def predict(self, instruction: np.ndarray, task: np.ndarray | None = None) -> np.ndarray:
        """(N, K) USD per call. A task not seen in training counts as no task."""
        features = _features(proxy_tokens(instruction), task, self.knots, self.tasks)
        return np.maximum(self.intercept + features @ self.weights, self.floor)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> LengthRegression:
        """Inverse of :meth:`to_dict`."""
        arrays = {key: np.asarray(value, dtype=np.float64) for key, value in stored.items() if key != "tasks"}
        return cls(tasks=tuple(stored["tasks"]), **arrays)


def fit_length_regression(
    instruction: np.ndarray, task: np.ndarray | None, cost: np.ndarray, strength: float
) -> LengthRegression:
    """Least squares with a ridge of ``strength`` on standardised features, one model at a time over its known costs.

    ``cost`` is (N, K) USD with NaN where unknown; every model needs one known cost at least.
    """
    from sklearn.linear_model import Ridge  # loads only where something is fitted

    tokens = proxy_tokens(instruction)
    knots = np.unique(np.quantile(tokens, _DECILES))
    tasks = () if task is None else tuple(sorted({str(name) for name in task}))
    features = _features(tokens, task, knots, tasks)
    centre, scale = features.mean(axis=0), features.std(axis=0)
    standardised = (features - centre) / np.where(scale > 0, scale, 1.0)
    weights = np.empty((features.shape[1], cost.shape[1]))
    intercept = np.empty(cost.shape[1])
    for k, column in enumerate(cost.T):
        known = np.isfinite(column)
        fitted = Ridge(alpha=strength, solver="cholesky").fit(standardised[known], column[known])
        weights[:, k], intercept[k] = fitted.coef_, fitted.intercept_
    weights /= np.where(scale > 0, scale, 1.0)[:, None]
    return LengthRegression(knots, tasks, intercept - centre @ weights, weights, np.nanmin(cost, axis=0) / 2)


def _features(tokens: np.ndarray, task: np.ndarray | None, knots: np.ndarray, tasks: tuple[str, ...]) -> np.ndarray:
    """(N, 1 + H + T): tokens, hinges at the knots, then an indicator per task."""
    hinges = np.maximum(tokens[:, None] - knots, 0.0)
    columns = [tokens[:, None], hinges]
    if tasks:
        if task is None:
            raise ValueError("this regression was fitted with tasks and needs them")
        columns.append((np.asarray(task, dtype=object)[:, None] == np.array(tasks, dtype=object)).astype(np.float64))
    return np.hstack(columns)
