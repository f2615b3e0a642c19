"""Add a model to a router from a few labelled instructions; neither the encoder nor the other models' heads are trained
again.

The K fitted models are a panel of examinees: a new one is described by how its success follows theirs, as in
item-response theory. Its logit is ``intercept + slope x mean logit + sum of weights x (logit of model k - mean
logit)``. Slope and weights have Gaussian priors, so 20 labels tell little more than how able the model is, while 500
also tell where it differs from the others. Choosing the width of the prior by cross-validation on so few labels did
worse than a fixed one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from routing_assets.foundation.errors import InvalidInput

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]

LEAST_LABELS = 10
WEIGHT_WIDTH = 0.3
SLOPE, SLOPE_WIDTH = 0.6, 0.4
"""Mean and width of the slope's prior: what is hard for the others is mostly, not always, hard for a new model."""


@dataclass(frozen=True)
class AddedModel:
    """How the logit of an added model follows from the logits of the K trained ones."""

    name: str
    intercept: float
    slope: float
    weights: tuple[float, ...]
    labels: int

    def logits(self, panel: Matrix) -> Matrix:
        """(N,) logits from the panel's logits (N, K)."""
        shared = panel.mean(axis=1)
        own = panel - shared[:, None]
        return np.asarray(self.intercept + self.slope * shared + own @ np.array(self.weights), dtype=np.float32)


def fit_added_model(name: str, panel: Matrix, success: NDArray[np.floating]) -> AddedModel:
    """Fit from the panel's logits (n, K) and the new model's success (n,) on the same instructions.

    Raises :class:`InvalidInput` with fewer than ten labels.
    """
    labels = int((~np.isnan(success)).sum())
    if labels < LEAST_LABELS:
        raise InvalidInput(
            f"{labels} labels for the new model '{name}'", remedy=f"Label at least {LEAST_LABELS} instructions"
        )
    return _fitted(name, panel, success)


def left_out_logits(name: str, panel: Matrix, success: NDArray[np.floating], parts: int = 5, seed: int = 0) -> Matrix:
    """(n,) logits of the labelled instructions, each by a fit without its own label.

    They serve to calibrate and to judge the added model's probabilities. Instructions without a label keep the
    logit of the fit to all labels. Raises :class:`InvalidInput` with fewer than ten labels, like the fit to all.
    """
    logits = fit_added_model(name, panel, success).logits(panel)
    labelled = np.random.default_rng(seed).permutation(np.flatnonzero(~np.isnan(success)))
    for part in np.array_split(labelled, parts):
        rest = np.setdiff1d(labelled, part)
        logits[part] = _fitted(name, panel[rest], success[rest]).logits(panel[part])
    return logits


def _fitted(name: str, panel: Matrix, success: NDArray[np.floating]) -> AddedModel:
    labelled = ~np.isnan(success)
    parameters = _fit(panel[labelled].astype(np.float64), success[labelled].astype(np.float64))
    weights = tuple(parameters[2:].tolist())
    return AddedModel(name, float(parameters[0]), float(parameters[1]), weights, int(labelled.sum()))


def _fit(panel: Vector, success: Vector) -> Vector:
    """Maximum a posteriori (intercept, slope, K weights)."""
    design = torch.from_numpy(_design(panel))
    target = torch.from_numpy(success)
    start = torch.zeros(design.shape[1], dtype=torch.float64)
    start[1] = SLOPE
    precision = torch.full_like(start, 1 / WEIGHT_WIDTH**2)
    precision[0], precision[1] = 0.1, 1 / SLOPE_WIDTH**2
    parameters = start.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        fit = torch.nn.functional.binary_cross_entropy_with_logits(design @ parameters, target, reduction="sum")
        total = fit + 0.5 * (precision * (parameters - start).square()).sum()
        total.backward()
        return total

    optimiser.step(loss)
    return np.asarray(parameters.detach().numpy())


def _design(panel: Vector) -> Vector:
    shared = panel.mean(axis=1, keepdims=True)
    return np.concatenate([np.ones_like(shared), shared, panel - shared], axis=1)
