"""Nearest neighbours in the frozen encoder's space: the success of similar instructions, weighted by similarity.

A neighbour of cosine similarity s weighs exp((s - s_max) / temperature), or 1 where the temperature is None; the
model's mean success weighs as ``prior_weight`` nearest neighbours. The settings are those with the least
validation log-loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from routing_assets.prediction.classifier.training_texts import TrainingTexts

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]

NEIGHBOURS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PRIOR_WEIGHTS = (0.1, 0.5, 2.0, 8.0, 32.0)
TEMPERATURES = (None, 0.2, 0.1, 0.05, 0.03)
PARTS = 5
MOST_REFERENCES = 20_000
"""Of more training texts a random sample of this size is kept: each search compares with all of them."""
CHUNK = 512
CHUNK_MODELS = 20
"""CHUNK texts are looked up at a time for up to CHUNK_MODELS models, fewer texts for more models. So no array has more
than 512 texts x 512 neighbours x 20 models.
"""
SAFE_RATE = 1e-3


@dataclass(frozen=True)
class TunedNeighbours:
    """Settings with the least validation log-loss."""

    neighbours: int
    temperature: float | None
    prior_weight: float
    log_loss: float


class NeighbourVotes(nn.Module):
    """Logits from the success of the nearest of R reference texts.

    ``vectors`` (R, D) of unit length; ``success`` and ``weight`` (R, K), weight 0 where there is no label.
    """

    vectors: Tensor
    success: Tensor
    weight: Tensor
    settings: Tensor
    """Neighbours, temperature (infinite for equal votes) and prior weight."""

    def __init__(self, vectors: Tensor, success: Tensor, weight: Tensor, settings: Tensor) -> None:
        super().__init__()
        for name, value in (("vectors", vectors), ("success", success), ("weight", weight), ("settings", settings)):
            self.register_buffer(name, value)

    @classmethod
    def tuned(cls, vectors: Tensor, success: Tensor, weight: Tensor, tuned: TunedNeighbours) -> NeighbourVotes:
        """The votes under the given settings."""
        temperature = float("inf") if tuned.temperature is None else tuned.temperature
        return cls(
            vectors,
            success,
            weight,
            torch.tensor([tuned.neighbours, temperature, tuned.prior_weight], dtype=torch.float64),
        )

    @torch.no_grad()
    def forward(self, vectors: Tensor) -> Tensor:
        """(B, D) unit vectors to (B, K) logits."""
        return torch.logit(self.rates(vectors), eps=SAFE_RATE)

    @torch.no_grad()
    def rates(self, vectors: Tensor) -> Tensor:
        """(B, D) unit vectors to (B, K) success rates."""
        neighbours, temperature, prior_weight = self.settings.tolist()
        prior = _mean_success(self.success, self.weight)
        rates = [prior.new_empty((0, len(prior)))]
        for chunk in vectors.split(_chunk(len(prior))):
            similarity, near = nearest(chunk, self.vectors, int(neighbours))
            right, total = _votes(similarity, near, self.success, self.weight, temperature)
            rates.append((right[:, -1] + prior_weight * prior) / (total[:, -1] + prior_weight))
        return torch.cat(rates).clamp(0, 1)


def nearest(query: Tensor, reference: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """Cosine similarity and index, (B, n) each, of the nearest references, nearest first."""
    found = torch.topk(query @ reference.T, min(neighbours, len(reference)), dim=1)
    return found.values, found.indices


def tune_neighbours(
    reference: Tensor, success: Tensor, weight: Tensor, query: Tensor, truth: Tensor, truth_weight: Tensor
) -> TunedNeighbours:
    """The settings under which the references (R) predict the success (Q, K) of the queries best."""
    most = min(NEIGHBOURS[-1], len(reference))
    sizes = [n for n in NEIGHBOURS if n <= most]
    prior = _mean_success(success, weight)
    losses = torch.zeros((len(TEMPERATURES), len(sizes), len(PRIOR_WEIGHTS)), dtype=torch.float64)
    for rows in torch.arange(len(query)).split(_chunk(len(prior))):
        similarity, near = nearest(query[rows], reference, most)
        for t, temperature in enumerate(TEMPERATURES):
            right, total = _votes(similarity, near, success, weight, temperature or float("inf"))
            for n, size in enumerate(sizes):
                for p, prior_weight in enumerate(PRIOR_WEIGHTS):
                    rate = (right[:, size - 1] + prior_weight * prior) / (total[:, size - 1] + prior_weight)
                    losses[t, n, p] += _total_log_loss(rate, truth[rows], truth_weight[rows])
    losses /= truth_weight.sum().clamp(min=1)
    t, n, p = (int(i) for i in np.unravel_index(int(losses.argmin()), losses.shape))
    return TunedNeighbours(sizes[n], TEMPERATURES[t], PRIOR_WEIGHTS[p], float(losses[t, n, p]))


def train_neighbours(vectors: Tensor, texts: TrainingTexts, seed: int) -> tuple[NeighbourVotes, Matrix]:
    """The votes of the training texts, and for each text (D, K) the logits by neighbours outside its own part.

    ``vectors`` are those of all D texts. Out-of-fold logits are NaN for validation texts.
    """
    success, weight = torch.from_numpy(texts.success), torch.from_numpy(texts.weight)

    def votes(rows: Rows, tuned: TunedNeighbours) -> NeighbourVotes:
        return NeighbourVotes.tuned(vectors[rows], success[rows], weight[rows], tuned)

    references = texts.train
    if len(references) > MOST_REFERENCES:
        references = np.sort(np.random.default_rng(seed).choice(references, MOST_REFERENCES, replace=False))
    tuned = tune_neighbours(
        *(part[references] for part in (vectors, success, weight)),
        *(part[texts.validation] for part in (vectors, success, weight)),
    )
    out_of_fold = np.full(texts.success.shape, np.nan, dtype=np.float32)
    for part in range(PARTS):
        left_out = texts.train[texts.fold[texts.train] % PARTS == part]
        others = references[texts.fold[references] % PARTS != part]
        if len(left_out) and len(others):
            out_of_fold[left_out] = votes(others, tuned)(vectors[left_out]).numpy()
    return votes(references, tuned), out_of_fold


def _chunk(models: int) -> int:
    """Texts to look up at a time."""
    return max(1, CHUNK * CHUNK_MODELS // max(models, CHUNK_MODELS))


def _votes(
    similarity: Tensor, near: Tensor, success: Tensor, weight: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Weighted successes and labels (B, n, K) among the nearest 1, 2, ... n references."""
    vote = torch.exp((similarity - similarity[:, :1]) / temperature)[:, :, None]
    labelled = (weight[near] > 0).float() * vote
    return (success[near] * labelled).cumsum(1), labelled.cumsum(1)


def _mean_success(success: Tensor, weight: Tensor) -> Tensor:
    labelled = (weight > 0).float()
    return (success * labelled).sum(0) / labelled.sum(0).clamp(min=1)


def _total_log_loss(rate: Tensor, truth: Tensor, weight: Tensor) -> float:
    p = rate.clamp(1e-6, 1 - 1e-6)
    return float(((truth * p.log() + (1 - truth) * (1 - p).log()) * weight).sum(dtype=torch.float64).neg())
