"""One training loop for every network: masked cross-entropy, warm-up, averaged weights, early stopping, checkpoints.

A network is given as a function from row indices to logits, so the loop does not know whether it trains a head on
frozen embeddings or a whole transformer.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from routing_assets.foundation.progress import progress_bar

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingConfig:
    """Optimisation of one network.

    ``learning_rate`` is the head's; the pre-trained layers get ``encoder_learning_rate``, times ``layer_decay`` for
    each layer further from the head (discriminative rates, Howard & Ruder 2018). ``averaging`` is the decay of the
    moving average of the weights that is evaluated and kept (Izmailov et al. 2018; 0 keeps the last weights). The
    rate rises linearly over the first ``warm_up`` of all steps and falls linearly to zero at the end of ``epochs``;
    training stops after ``patience`` epochs without a better validation loss, and the best epoch's weights are kept.
    """

    epochs: int = 40
    patience: int = 5
    batch_size: int = 64
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 1e-4
    layer_decay: float = 0.9
    weight_decay: float = 1e-2
    warm_up: float = 0.1
    clip_norm: float = 1.0
    averaging: float = 0.98
    seed: int = 0


@dataclass(frozen=True)
class EpochLoss:
    """Mean cross-entropy per label after one epoch; ``train`` during the epoch, ``validation`` after it with the
    averaged weights.
    """

    epoch: int
    train: float
    validation: float


def masked_cross_entropy(logits: Tensor, success: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the labels; ``weight`` (B, K) counts the labels behind each pair, 0 where there
    is none.
    """
    loss = nn.functional.binary_cross_entropy_with_logits(logits, success, reduction="none")
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)


def train_network(
    network: nn.Module,
    forward: Callable[[Rows], Tensor],
    batches: Callable[[np.random.Generator, int], Iterator[Rows]],
    targets: tuple[Tensor, Tensor],
    validation: Rows,
    groups: Sequence[dict[str, object]],
    config: TrainingConfig,
    *,
    checkpoint: Path | None = None,
    mixed_precision: bool = False,
    progress: bool = False,
    label: str = "training",
) -> list[EpochLoss]:
    """Train ``network`` in place and leave it with the weights of its best epoch; returns the loss of every epoch.

    ``forward(rows)`` gives (B, K) logits; ``batches(rng, size)`` yields the training rows in batches; ``targets``
    are success and weight, (N, K); ``groups`` are the optimiser's parameter groups. With ``checkpoint`` each epoch is
    saved there (safetensors + JSON), and a run that finds one continues it: every random number depends on seed and
    epoch alone, so the result is that of an uninterrupted run.
    """
    run = _Run(network, groups, config, targets[0].device.type, mixed_precision)
    if checkpoint is not None:
        run.resume(checkpoint)
    with progress_bar(label, config.epochs, "epochs", shown=progress, done=run.epoch) as advance:
        while run.epoch < config.epochs and run.epochs_without_gain < config.patience:
            run.one_epoch(forward, batches, targets, validation)
            if checkpoint is not None:
                run.save(checkpoint)
            advance(note=f"loss {run.history[-1].train:.4f}, on validation {run.history[-1].validation:.4f}")
    network.load_state_dict(run.best)
    network.eval()
    return run.history


class _Run:
    """State of one training run: weights, their average, the best so far, the optimiser, the losses."""

    def __init__(
        self,
        network: nn.Module,
        groups: Sequence[dict[str, object]],
        config: TrainingConfig,
        device: str,
        mixed_precision: bool,
    ) -> None:
        self.network, self.config, self.device = network, config, device
        self.precision = torch.autocast(device, dtype=torch.bfloat16) if mixed_precision else nullcontext()
        self.optimiser = torch.optim.AdamW(list(groups), weight_decay=config.weight_decay, fused=True)
        self.peak_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.average = _copy(network)
        self.best = _copy(network)
        self.epoch = self.step = 0
        self.history: list[EpochLoss] = []

    @property
    def epochs_without_gain(self) -> int:
        losses = [epoch.validation for epoch in self.history]
        return len(losses) - 1 - int(np.argmin(losses)) if losses else 0

    def one_epoch(
        self,
        forward: Callable[[Rows], Tensor],
        batches: Callable[[np.random.Generator, int], Iterator[Rows]],
        targets: tuple[Tensor, Tensor],
        validation: Rows,
    ) -> None:
        all_rows = list(batches(np.random.default_rng((self.config.seed, self.epoch)), self.config.batch_size))
        devices = [torch.cuda.current_device()] if self.device == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            seed = self.config.seed * 10_007 + self.epoch
            torch.default_generator.manual_seed(seed)  # torch.manual_seed formats a stack for each absent accelerator
            if self.device == "cuda":
                torch.cuda.manual_seed(seed)
            self.network.train()
            losses = [self._one_step(forward, targets, rows, len(all_rows)) for rows in all_rows]
        self.epoch += 1
        loss = self._validation_loss(forward, targets, validation)
        if not self.history or loss < min(epoch.validation for epoch in self.history):
            self.best = {name: value.clone() for name, value in self.average.items()}
        self.history.append(EpochLoss(self.epoch, float(np.mean(losses)), loss))

    def _one_step(
        self, forward: Callable[[Rows], Tensor], targets: tuple[Tensor, Tensor], rows: Rows, steps_per_epoch: int
    ) -> float:
        steps = steps_per_epoch * self.config.epochs
        rate = _relative_rate(self.step, steps, self.config.warm_up)
        for group, peak in zip(self.optimiser.param_groups, self.peak_rates, strict=True):
            group["lr"] = peak * rate
        with self.precision:
            logits = forward(rows)
        loss = masked_cross_entropy(logits.float(), targets[0][rows], targets[1][rows])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimiser.step()
        self.step += 1
        decay = min(self.config.averaging, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        return float(loss.detach())

    @torch.no_grad()
    def _validation_loss(self, forward: Callable[[Rows], Tensor], targets: tuple[Tensor, Tensor], rows: Rows) -> float:
        current = _copy(self.network)
        self.network.load_state_dict(self.average)
        self.network.eval()
        with self.precision:
            logits = torch.cat([forward(rows[start : start + 256]) for start in range(0, len(rows), 256)])
        loss = float(masked_cross_entropy(logits.float(), targets[0][rows], targets[1][rows]))
        self.network.load_state_dict(current)
        return loss

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        tensors = {f"{part}/{name}": v for part in ("average", "best") for name, v in getattr(self, part).items()}
        tensors |= {f"current/{name}": v for name, v in self.network.state_dict().items()}
        state = self.optimiser.state_dict()["state"]
        tensors |= {f"optimiser/{i}/{name}": v for i, moments in state.items() for name, v in moments.items()}
        about = {"epoch": self.epoch, "step": self.step, "history": [vars(epoch) for epoch in self.history]}
        partial = directory / "epoch.safetensors.partial"
        save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata={"about": json.dumps(about)})
        os.replace(partial, directory / "epoch.safetensors")

    def resume(self, directory: Path) -> None:
        path = directory / "epoch.safetensors"
        if not path.exists():
            return
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["about"])
        tensors = load_file(path)
        parts: dict[str, dict[str, Tensor]] = {"average": {}, "best": {}, "current": {}, "optimiser": {}}
        for key, value in tensors.items():
            part, name = key.split("/", 1)
            parts[part][name] = value
        self.network.load_state_dict(parts["current"])
        for part in ("average", "best"):
            setattr(self, part, {name: value.to(self.device) for name, value in parts[part].items()})
        optimiser = self.optimiser.state_dict()
        for key, value in parts["optimiser"].items():
            index, name = key.split("/")
            optimiser["state"].setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict(optimiser)
        self.epoch, self.step = about["epoch"], about["step"]
        self.history = [EpochLoss(**epoch) for epoch in about["history"]]


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _relative_rate(step: int, steps: int, warm_up: float) -> float:
    warm = max(1, math.ceil(steps * warm_up))
    return (step + 1) / warm if step < warm else max(0.0, (steps - step) / max(1, steps - warm))
