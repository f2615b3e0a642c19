from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.prediction.classifier.ensemble import deal
from routing_assets.prediction.classifier.training import EpochLoss, TrainingConfig, masked_cross_entropy, train_network
from routing_assets.prediction.classifier.training_texts import assign_folds, distinct_texts, training_texts

CONFIG = TrainingConfig(epochs=6, patience=6, batch_size=16, learning_rate=0.05, averaging=0.9, seed=3)


def test_masked_pairs_have_no_loss_and_no_gradient() -> None:
    logits = torch.tensor([[0.3, -0.8], [1.0, 2.0]], requires_grad=True)
    success, weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    loss = masked_cross_entropy(logits, success, weight)
    kept = nn.functional.binary_cross_entropy_with_logits(torch.tensor([0.3, 1.0, 2.0]), torch.tensor([1.0, 0.0, 1.0]))
    assert loss.item() == pytest.approx(kept.item())
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0


def test_two_labels_of_one_text_weigh_like_two_rows() -> None:
    twice = masked_cross_entropy(
        torch.tensor([[0.5], [0.1]]), torch.tensor([[0.5], [1.0]]), torch.tensor([[2.0], [1.0]])
    )
    rows = masked_cross_entropy(
        torch.tensor([[0.5], [0.5], [0.1]]), torch.tensor([[1.0], [0.0], [1.0]]), torch.ones(3, 1)
    )
    assert twice.item() == pytest.approx(rows.item())


class Problem:
    """A linear problem with dropout; ``stop_after`` raises in the middle of an epoch, like a kill."""

    def __init__(self, stop_after: int | None = None, labels_seed: int = 0) -> None:
        rng = np.random.default_rng(labels_seed)
        self.x = torch.from_numpy(np.random.default_rng(9).normal(size=(120, 5)).astype(np.float32))
        noise = rng.normal(size=120)
        success = (self.x[:, :1].numpy() + 0.5 * noise[:, None] > 0).astype(np.float32)
        self.targets = torch.from_numpy(success), torch.ones(120, 1)
        torch.manual_seed(1)
        self.network = nn.Sequential(nn.Dropout(0.3), nn.Linear(5, 1))
        self.steps, self.stop_after = 0, stop_after

    def forward(self, rows: np.ndarray) -> torch.Tensor:
        self.steps += 1
        if self.stop_after is not None and self.steps > self.stop_after:
            raise KeyboardInterrupt
        return self.network(self.x[rows])

    def batches(self, rng: np.random.Generator, size: int) -> Iterator[np.ndarray]:
        return deal(np.arange(80), np.ones(120, dtype=np.int64), size, rng)

    def train(self, config: TrainingConfig = CONFIG, checkpoint: Path | None = None) -> list[EpochLoss]:
        groups: list[dict[str, object]] = [{"params": list(self.network.parameters()), "lr": config.learning_rate}]
        return train_network(
            self.network,
            self.forward,
            self.batches,
            self.targets,
            np.arange(80, 120),
            groups,
            config,
            checkpoint=checkpoint,
        )

    def weights(self) -> np.ndarray:
        return np.concatenate([p.detach().numpy().ravel() for p in self.network.parameters()])


def test_killed_run_resumes_to_the_very_same_weights(tmp_path: Path) -> None:
    whole = Problem()
    history = whole.train()
    with pytest.raises(KeyboardInterrupt):
        Problem(stop_after=17).train(checkpoint=tmp_path)
    resumed = Problem()
    assert resumed.train(checkpoint=tmp_path) == history
    assert resumed.steps < whole.steps
    np.testing.assert_array_equal(resumed.weights(), whole.weights())


def test_same_seed_same_weights_other_seed_others() -> None:
    first, second, other = Problem(), Problem(), Problem()
    first.train()
    second.train()
    other.train(TrainingConfig(**(vars(CONFIG) | {"seed": 4})))
    np.testing.assert_array_equal(first.weights(), second.weights())
    assert not np.array_equal(first.weights(), other.weights())


def test_training_leaves_the_global_random_state_alone() -> None:
    problem = Problem()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    problem.train()
    assert torch.equal(torch.rand(3), expected)


def test_training_stops_when_validation_gets_worse_and_keeps_the_best_weights() -> None:
    problem = Problem()
    problem.targets[0][80:] = 1 - problem.targets[0][80:]  # whatever is learnt is wrong on validation
    history = problem.train(TrainingConfig(epochs=50, patience=2, batch_size=16, learning_rate=0.05, averaging=0.9))
    assert len(history) < 10
    best = min(history, key=lambda epoch: epoch.validation)
    with torch.no_grad():
        loss = masked_cross_entropy(problem.network(problem.x[80:]), problem.targets[0][80:], torch.ones(40, 1))
    assert loss.item() == pytest.approx(best.validation, rel=1e-5)


def test_every_row_is_dealt_once_in_batches_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 1000)
    batches = list(deal(np.arange(1000), lengths, 32, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 30


def test_equal_keys_never_straddle_folds() -> None:
    keys = [f"k{i % 37}" for i in range(400)]
    folds = assign_folds(keys, 5, np.random.default_rng(0))
    assert all(len(set(folds[np.array(keys) == key])) == 1 for key in set(keys))
    assert set(folds) == set(range(5))


def test_texts_that_no_split_separates_never_straddle_folds() -> None:
    texts = [f"{word} {i}" for i in range(60) for word in ("what is", "What  is", "compute")]
    group = [f"g{i}" if word == "compute" and i % 2 else None for i in range(60) for word in ("a", "b", "compute")]
    group[0] = "g1"
    used = LabelledInstructions(
        name="t",
        models=("m",),
        instruction_id=np.array([str(i) for i in range(180)], dtype=object),
        instruction=np.array(texts, dtype=object),
        success=np.ones((180, 1), dtype=np.float32),
        group=np.array(group, dtype=object),
    )
    distinct, inverse = distinct_texts(used, 180)
    fold = training_texts(used, distinct, inverse, 180, seed=0).fold[inverse]
    for component in np.unique(related := related_rows(used.instruction, used.group)):
        assert len(set(fold[related == component])) == 1
    assert fold[0] == fold[1] == fold[5]
    assert len(set(fold)) > 30
