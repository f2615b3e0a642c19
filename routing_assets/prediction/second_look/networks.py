"""Small networks that correct the logits of a router, several of them trained side by side.

Each reads the logits of all models on an instruction, and what else is known, and adds a correction to every logit: a
linear one, which is enough for few rows, and that of one hidden layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class CorrectionConfig:
    """How the networks are trained. ``folds`` parts of the rows are each predicted by networks that left them out."""

    hidden: int = 96
    dropout: float = 0.5
    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
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
        hidden = torch.baddbmm(self.first_offset[networks], inputs, self.first[networks])
        correction = torch.baddbmm(self.offset[networks], self.dropout(torch.relu(hidden)), self.second[networks])
        return self.slope[networks] * logits + correction + torch.bmm(inputs, self.linear[networks])


def train_corrections(inputs: Tensor, logits: Tensor, success: Tensor, config: CorrectionConfig) -> Corrections:
    """Maximum likelihood by AdamW with dropout and a decaying rate; ``success`` (n, K) is NaN where unlabelled."""
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    networks = Corrections(inputs.shape[0], inputs.shape[2], logits.shape[1], config)
    optimiser = torch.optim.AdamW(networks.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    n = len(logits)
    steps = config.epochs * -(-n // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=steps, pct_start=min(0.1, 1 / steps + 0.05)
    )
    labelled, target = torch.isfinite(success).float(), torch.nan_to_num(success)
    networks.train()
    for _ in range(config.epochs):
        for rows in torch.randperm(n, generator=generator).split(config.batch_size):
            corrected = networks(inputs[:, rows], logits[rows])
            loss = nn.functional.binary_cross_entropy_with_logits(
                corrected, target[rows].expand_as(corrected), reduction="none"
            )
            optimiser.zero_grad()
            (loss * labelled[rows]).mean(dim=(1, 2)).sum().backward()
            optimiser.step()
            schedule.step()
    return networks.eval()


def component_folds(component: NDArray[np.integer], folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) the fold of each row, drawn at random; rows of one component share a fold."""
    _, code = np.unique(component, return_inverse=True)
    return np.random.default_rng(seed).permutation(code.max(initial=-1) + 1)[code] % folds
