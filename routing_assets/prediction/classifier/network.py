"""The network: the encoder's upper layers, pooled, and a multi-label head with one logit per model."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from routing_assets.prediction.classifier.training import TrainingConfig


@dataclass(frozen=True)
class HeadConfig:
    """Sizes of the head. ``hidden`` 0 makes it linear."""

    hidden: int = 256
    dropout: float = 0.3


class MultiLabelHead(nn.Module):
    """Dropout, at most one hidden layer, and one logit per model that starts at the model's own success rate."""

    def __init__(self, inputs: int, models: int, config: HeadConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(inputs, config.hidden) if config.hidden else None
        self.output = nn.Linear(config.hidden or inputs, models)

    def start_at(self, rate: NDArray[np.floating]) -> None:
        """Make every prediction nearly the models' mean success rates."""
        clipped = torch.as_tensor(np.clip(rate, 0.02, 0.98), dtype=torch.float32)
        with torch.no_grad():
            self.output.bias.copy_(torch.log(clipped / (1 - clipped)))
            self.output.weight.mul_(0.1)

    def parameter_groups(self, training: TrainingConfig) -> list[dict[str, object]]:
        """All parameters at the head's learning rate."""
        return [{"params": list(self.parameters()), "lr": training.learning_rate}]

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs) to (B, models) logits."""
        states = self.dropout(inputs)
        if self.hidden is not None:
            states = self.dropout(nn.functional.gelu(self.hidden(states)))
        return self.output(states)


class UpperLayers(nn.Module):
    """The upper layers of a BERT-like encoder, mean-pooled after each, with a multi-label head on top."""

    def __init__(self, transformer: Any, layers: int, features: int, models: int, config: HeadConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(copy.deepcopy(layer) for layer in transformer.encoder.layer[-layers:])
        width = transformer.config.hidden_size
        self.head = MultiLabelHead(min(POOLED, layers) * width + features, models, config)

    def start_at(self, rate: NDArray[np.floating]) -> None:
        """Make every prediction nearly the models' mean success rates."""
        self.head.start_at(rate)

    def parameter_groups(self, training: TrainingConfig) -> list[dict[str, object]]:
        """The head at its rate; the layers at theirs, smaller with every layer further down."""
        groups = self.head.parameter_groups(training)
        for below, layer in enumerate(reversed(self.layers)):
            rate = training.encoder_learning_rate * training.layer_decay**below
            groups.append({"params": list(layer.parameters()), "lr": rate})
        return groups

    def forward(self, states: Tensor, mask: Tensor, features: Tensor) -> Tensor:
        """(B, T, width) states below the upper layers, (B, T) mask and (B, features) to (B, models) logits."""
        return self.head(torch.cat([self.pooled(states, mask), features], dim=1))

    def pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """What the head reads of the text: (B, T, width) states and (B, T) mask to means after the last layers."""
        pooled = []
        for layer in self.layers:
            states = layer(states, mask[:, None, None, :])
            pooled.append(pool(states, mask))
        return torch.cat(pooled[-POOLED:], dim=1)


Network = MultiLabelHead | UpperLayers

POOLED = 3
"""The states after this many of the last layers are pooled; see the ablation of pooled layers."""


def pool(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens, scaled to unit variance: (B, T, width) to (B, width)."""
    weights = mask.unsqueeze(-1).float()
    mean = (states.float() * weights).sum(1) / weights.sum(1)
    return nn.functional.normalize(mean, dim=-1) * states.shape[-1] ** 0.5
