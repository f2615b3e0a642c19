"""The second level: ensembles joined by weights that are learnt on out-of-fold predictions (stacking, Wolpert 1992).

A logit is split into what all models share on an instruction (its difficulty) and what is this model's own. Routing
depends on the second part, and an argmax over many noisy estimates of it picks the luckiest error (the optimizer's
curse, Smith & Winkler 2006), so it gets a weight of its own: below one, it pulls every model toward the common
difficulty, as far as held-out labels support it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

PRIOR_LABELS = 50.0
"""The weights have a Gaussian prior worth this many labels, centred on the plain mean of the ensembles."""
OFFSET_PRIOR_LABELS = 20.0


@dataclass(frozen=True)
class Stacking:
    """Weights of E ensembles on the common and the model's own part of their logits, and one offset per model (K)."""

    common: tuple[float, ...]
    specific: tuple[float, ...]
    offset: tuple[float, ...]

    def combine(self, logits: NDArray[np.floating]) -> Matrix:
        """(E, N, K) logits of the ensembles to (N, K)."""
        shared = logits.mean(axis=2, keepdims=True)
        common = np.tensordot(np.array(self.common), shared, axes=1)
        specific = np.tensordot(np.array(self.specific), logits - shared, axes=1)
        return np.asarray(common + specific + np.array(self.offset), dtype=np.float32)


def plain_mean(ensembles: int, models: int) -> Stacking:
    """The stacking that averages the ensembles."""
    return Stacking((1 / ensembles,) * ensembles, (1 / ensembles,) * ensembles, (0.0,) * models)


def fit_stacking(logits: NDArray[np.floating], success: Matrix, weight: Matrix) -> Stacking:
    """Maximum-likelihood weights from held-out logits (E, N, K), success (N, K) and label counts (0: no label)."""
    ensembles, _, models = logits.shape
    z = torch.from_numpy(np.asarray(logits, dtype=np.float64))
    shared = z.mean(2, keepdim=True)
    own = z - shared
    target, labels = (torch.from_numpy(np.asarray(np.nan_to_num(a), dtype=np.float64)) for a in (success, weight))
    start = torch.full((ensembles,), 1 / ensembles, dtype=torch.float64)
    common, specific = start.clone().requires_grad_(True), start.clone().requires_grad_(True)
    offset = torch.zeros(models, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([common, specific, offset], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        combined = torch.tensordot(common, shared, dims=1) + torch.tensordot(specific, own, dims=1) + offset
        fit = torch.nn.functional.binary_cross_entropy_with_logits(combined, target, reduction="none")
        drift = (common - start).square().sum() + (specific - start).square().sum()
        total = (fit * labels).sum() + PRIOR_LABELS * drift / 2 + OFFSET_PRIOR_LABELS * offset.square().sum() / 8
        total.backward()
        return total

    optimiser.step(loss)
    return Stacking(*(tuple(part.detach().tolist()) for part in (common, specific, offset)))
