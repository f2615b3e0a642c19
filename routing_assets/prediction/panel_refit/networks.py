"""Small networks that correct the logits of a router, several of them trained side by side.

Each reads the logits of all models on an instruction, and what else is known, and adds a correction to every logit: a
linear one, and that of a hidden layer. The linear part is fitted first, by a convex problem. Then all is trained for a
number of passes over the rows: few rows leave it near the linear solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class CorrectionConfig:
    """How the networks are trained. ``folds`` parts of the rows are each predicted by networks that left them out.

    ``linear_prior`` is the precision of the Gaussian prior of the linear part.
    """

    hidden: int = 96
    dropout: float = 0.5
    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    linear_prior: float = 1.0
    linear_iterations: int = 60
    folds: int = 5
    seed: int = 0


class Corrections(nn.Module):
    """J networks of the same shape: ``inputs`` (J, n, F) and logits (n, K) to corrected logits (J, n, K)."""

    def __init__(self, networks: int, inputs: int, models: int, config: CorrectionConfig) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(config.seed)
        first = torch.randn(networks, inputs, config.hidden, generator=generator) / inputs**0.5
        self.first = nn.Parameter(first)
        self.first_offset = nn.Parameter(torch.zeros(networks, 1, config.hidden))
        self.second = nn.Parameter(torch.zeros(networks, config.hidden, models))
        self.linear = nn.Parameter(torch.zeros(networks, inputs, models))
        self.offset = nn.Parameter(torch.zeros(networks, 1, models))
        self.slope = nn.Parameter(torch.ones(networks, 1, models))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, inputs: Tensor, logits: Tensor, networks: slice = slice(None)) -> Tensor:
        """Corrected logits of the named ``networks``, for which ``inputs`` are given."""
        hidden = torch.relu(torch.baddbmm(self.first_offset[networks], inputs, self.first[networks]))
        if self.training:  # one draw for all networks: drawing is what takes longest
            hidden = hidden * self.dropout(torch.ones_like(hidden[0]))
        correction = torch.baddbmm(self.offset[networks], hidden, self.second[networks])
        return self.slope[networks] * logits + correction + torch.bmm(inputs, self.linear[networks])


def train_corrections(inputs: Tensor, logits: Tensor, success: Tensor, config: CorrectionConfig) -> Corrections:
    """Maximum likelihood; ``success`` (n, K) is NaN where unlabelled."""
    torch.manual_seed(config.seed)
    networks = Corrections(inputs.shape[0], inputs.shape[2], logits.shape[1], config)
    loss = _Loss(torch.nan_to_num(success), torch.isfinite(success).float())
    _fit_linear(networks, inputs, logits, loss, config)
    _train_all(networks, inputs, logits, loss, config)
    return networks.eval()


def joined(parts: Sequence[Corrections], config: CorrectionConfig) -> Corrections:
    """All networks of several sets, side by side."""
    states = [part.state_dict() for part in parts]
    tensors = {name: torch.cat([state[name] for state in states]) for name in states[0]}
    networks, inputs, models = tensors["linear"].shape
    whole = Corrections(networks, inputs, models, config)
    whole.load_state_dict(tensors)
    return whole.eval()


@dataclass(frozen=True, eq=False)
class _Loss:
    target: Tensor
    labelled: Tensor

    def __call__(self, corrected: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Sum over networks, rows and models of the cross-entropy of labelled pairs."""
        target = self.target[rows].expand_as(corrected)
        loss = nn.functional.binary_cross_entropy_with_logits(corrected, target, reduction="none")
        return (loss * self.labelled[rows]).sum()


def _fit_linear(networks: Corrections, inputs: Tensor, logits: Tensor, loss: _Loss, config: CorrectionConfig) -> None:
    """Slope, offset and linear part, with a Gaussian prior around no correction; the hidden layer adds nothing yet."""
    parts = [networks.slope, networks.offset, networks.linear]
    optimiser = torch.optim.LBFGS(parts, max_iter=config.linear_iterations, line_search_fn="strong_wolfe")

    def penalised() -> Tensor:
        optimiser.zero_grad()
        corrected = networks.slope * logits + networks.offset + torch.bmm(inputs, networks.linear)
        prior = networks.linear.square().sum() + (networks.slope - 1).square().sum()
        total = loss(corrected) + config.linear_prior * prior / 2
        total.backward()
        return total

    optimiser.step(penalised)


def _train_all(networks: Corrections, inputs: Tensor, logits: Tensor, loss: _Loss, config: CorrectionConfig) -> None:
    """AdamW with dropout and a rate that rises and falls."""
    n = len(logits)
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.AdamW(networks.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * -(-n // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=steps)
    networks.train()
    for _ in range(config.epochs):
        for rows in torch.randperm(n, generator=generator).split(config.batch_size):
            optimiser.zero_grad()
            mean = loss(networks(inputs[:, rows], logits[rows]), rows) / (len(rows) * logits.shape[1])
            mean.backward()
            optimiser.step()
            schedule.step()


def component_folds(component: NDArray[np.integer], folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) the fold of each row, drawn at random; rows of one component share a fold."""
    _, code = np.unique(component, return_inverse=True)
    return np.random.default_rng(seed).permutation(code.max(initial=-1) + 1)[code] % folds
