"""Cross-fitted ensembles: each member leaves a part of the training texts out and later predicts it unseen.

The mean of the members predicts new instructions (bagging, Breiman 1996). Stacking and calibration learn from the
predictions on the left-out parts, far more labels than a thin calibration split has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from routing_assets.prediction.classifier.network import Network, UpperLayers
from routing_assets.prediction.classifier.training import EpochLoss, Rows, TrainingConfig, train_network
from routing_assets.prediction.classifier.training_texts import TrainingTexts
from routing_assets.prediction.encoder.encoder import batches_by_length, steps
from routing_assets.prediction.encoder.precision import Precision, products_in
from routing_assets.prediction.encoder.threads import side_by_side
from routing_assets.prediction.encoder.token_states import TokenStates

Matrix = NDArray[np.float32]

ROWS_AT_ONCE = 256


class Inputs(Protocol):
    """What networks of one kind read, for a fixed list of texts."""

    @property
    def rows_at_once(self) -> int:
        """Texts of a batch; of dense products, the last bits depend on it."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""

    def __call__(self, networks: Sequence[nn.Module], rows: Rows, /) -> list[Tensor]:
        """Of each network, the logits (B, K) of the texts ``rows``."""


@dataclass(frozen=True, eq=False)
class VectorInputs:
    """One vector per text: its frozen embedding (times ``factor``), and features where there are any."""

    vectors: Tensor
    factor: float = 1.0
    features: Tensor | None = None
    rows_at_once: int = ROWS_AT_ONCE

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Vectors need no padding."""
        return np.ones(len(self.vectors), dtype=np.int64)

    def __call__(self, networks: Sequence[nn.Module], rows: Rows) -> list[Tensor]:
        batch = self.vectors[rows]
        if self.features is not None:
            batch = torch.cat([batch * self.factor, self.features[rows]], dim=1)
        return [network(batch) for network in networks]


@dataclass(frozen=True, eq=False)
class TokenInputs:
    """Token states below the trained layers, and one feature vector per text."""

    states: TokenStates
    features: Tensor
    precision: Precision = "fp32"
    rows_at_once: int = ROWS_AT_ONCE

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        return self.states.lengths

    def __call__(self, networks: Sequence[nn.Module], rows: Rows) -> list[Tensor]:
        if self.precision == "fp32":
            batch = (*self.states.batch(rows), self.features[rows])
            return [network(*batch) for network in networks]
        return [self._in_steps(cast(UpperLayers, network), rows) for network in networks]

    def _in_steps(self, network: UpperLayers, rows: Rows) -> Tensor:
        each = list(steps(self.lengths[rows], len(rows), self.precision))
        pooled = torch.cat([self._pooled(network, rows[computed])[: len(step)] for step, computed in each])
        order = np.argsort(np.concatenate([step for step, _ in each]))
        return network.head(torch.cat([pooled[order], self.features[rows]], dim=1))

    def _pooled(self, network: UpperLayers, rows: Rows) -> Tensor:
        states, mask = self.states.batch(rows)
        with products_in(self.precision, states.device.type):
            return network.pooled(states, mask)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained members, the logits (D, K) of the texts each left out (NaN elsewhere), and the losses of each member
    that was trained in epochs.
    """

    members: tuple[nn.Module, ...]
    out_of_fold: Matrix
    histories: tuple[tuple[EpochLoss, ...], ...] = ()


def train_ensemble(
    build: Callable[[], Network],
    inputs: Inputs,
    texts: TrainingTexts,
    members: int,
    parts: int,
    config: TrainingConfig,
    *,
    device: str = "cpu",
    mixed_precision: bool = False,
    checkpoint: Path | None = None,
    progress: bool = False,
    label: str = "training",
) -> Ensemble:
    """Train ``members`` networks made by ``build``.

    Each leaves out one of ``parts`` parts of the training texts, and each another one. With a single part, or where all
    texts lie in the part to leave out, a network trains on all of them.
    """
    targets = (torch.from_numpy(texts.success).to(device), torch.from_numpy(texts.weight).to(device))
    out_of_fold = np.full(texts.success.shape, np.nan, dtype=np.float32)
    networks, histories = [], []
    for member in range(members):
        seed = config.seed * 101 + member
        torch.manual_seed(seed)
        network = build()
        rows = texts.train[(texts.fold[texts.train] % parts != member) | (parts == 1)]
        if not len(rows):
            rows = texts.train
        left_out = np.setdiff1d(texts.train, rows)
        history = train_network(
            network,
            lambda batch, network=network: inputs([network], batch)[0],  # type: ignore[misc]
            lambda rng, size, rows=rows: deal(rows, inputs.lengths, size, rng),  # type: ignore[misc]
            targets,
            texts.validation,
            network.parameter_groups(config),
            replace(config, seed=seed),
            checkpoint=None if checkpoint is None else checkpoint / f"{label}-{member}-{_digest(rows, texts)}",
            mixed_precision=mixed_precision,
            progress=progress,
            label=f"{label} {member + 1}/{members}",
        )
        out_of_fold[left_out] = mean_logits([network], inputs, left_out, texts.success.shape[1])
        networks.append(network)
        histories.append(tuple(history))
    return Ensemble(tuple(networks), out_of_fold, tuple(histories))


def _digest(rows: Rows, texts: TrainingTexts) -> str:
    """Digest of the texts that train and stop a network: training on other texts must not resume its checkpoint."""
    return hashlib.sha256(rows.astype("<i8").tobytes() + texts.validation.astype("<i8").tobytes()).hexdigest()[:12]


def mean_logits(members: Sequence[nn.Module], inputs: Inputs, rows: Rows, models: int) -> Matrix:
    """Mean logits (len(rows), K) of the members in float32, in batches of equal length. Each batch is read once."""
    for member in members:
        member.eval()
    logits = np.empty((len(members), len(rows), models), dtype=np.float32)

    @torch.no_grad()
    def work(left: Iterator[Rows]) -> None:
        for batch in left:
            for of_member, found in zip(logits, inputs(members, rows[batch]), strict=True):
                of_member[batch] = found.float().cpu().numpy()

    side_by_side(work, list(batches_by_length(inputs.lengths[rows], inputs.rows_at_once)))
    return np.mean(logits, axis=0, dtype=np.float32)


def deal(rows: Rows, lengths: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Random batches of about ``size`` texts of similar length, so that little is computed on padding."""
    shuffled = rng.permutation(rows)
    batches: list[Rows] = []
    for start in range(0, len(shuffled), size * 16):
        pile = shuffled[start : start + size * 16]
        pile = pile[np.argsort(lengths[pile], kind="stable")]
        batches += np.array_split(pile, max(1, round(len(pile) / size)))
    return (batches[i] for i in rng.permutation(len(batches)))
