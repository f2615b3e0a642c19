"""The multi-label head: one logit per model from an embedding and a few features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class HeadConfig:
    """Sizes of the head. ``hidden`` 0 makes it linear."""

    hidden: int = 256
    dropout: float = 0.3


class MultiLabelHead(nn.Module):
    """Standardised inputs, one hidden layer, and one logit per model, which starts at the model's own success rate."""

    def __init__(self, inputs: int, models: int, config: HeadConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(inputs, config.hidden) if config.hidden else None
        self.output = nn.Linear(config.hidden or inputs, models)

    def start_at(self, rate: NDArray[np.floating]) -> None:
        """Make every prediction the models' mean success rates."""
        clipped = torch.as_tensor(np.clip(rate, 0.02, 0.98), dtype=torch.float32)
        with torch.no_grad():
            self.output.bias.copy_(torch.log(clipped / (1 - clipped)))
            self.output.weight.mul_(0.1)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs) to (B, models) logits."""
        states = self.dropout(inputs)
        if self.hidden is not None:
            states = self.dropout(nn.functional.gelu(self.hidden(states)))
        return self.output(states)  # type: ignore[no-any-return]
