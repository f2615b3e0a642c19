from __future__ import annotations

import numpy as np
import torch

from routing_assets.datasets import LabelledInstructions
from routing_assets.prediction.ensemble import Ensemble, VectorInputs, network_logits, train_ensemble
from routing_assets.prediction.network import HeadConfig, MultiLabelHead
from routing_assets.prediction.training import TrainingConfig
from routing_assets.prediction.training_texts import TrainingTexts, distinct_texts, training_texts

TRAIN, VALIDATION, NEW, INPUTS = 80, 40, 1000, 30


def texts_of(success: np.ndarray, soft_success: np.ndarray | None) -> TrainingTexts:
    ids = [str(i) for i in range(len(success))]
    labels = LabelledInstructions("two models", ("a", "b"), ids, ids, success, soft_success=soft_success)
    return training_texts(labels, *distinct_texts(labels, TRAIN), TRAIN, seed=0)


def trained(vectors: np.ndarray, texts: TrainingTexts) -> Ensemble:
    def build() -> MultiLabelHead:
        return MultiLabelHead(INPUTS, texts.targets()[0].shape[1], HeadConfig(hidden=3, dropout=0.0))

    inputs = VectorInputs(torch.from_numpy(vectors), np.ones(len(vectors), dtype=np.int64))
    config = TrainingConfig(epochs=40, patience=40, batch_size=16, learning_rate=0.02)
    return train_ensemble(build, inputs, texts, members=1, parts=4, config=config)


def outcomes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, and the probability and the outcome of success of two models, which only three directions decide."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(TRAIN + VALIDATION + NEW, INPUTS)).astype(np.float32)
    hidden = vectors @ rng.normal(size=(INPUTS, 3)) / 3
    probability = 1 / (1 + np.exp(-(hidden @ rng.normal(size=(3, 2)))))
    return vectors, probability, (rng.random(probability.shape) < probability).astype(np.float32)


def loss_on_new(ensemble: Ensemble, vectors: np.ndarray, success: np.ndarray) -> float:
    inputs = VectorInputs(torch.from_numpy(vectors), np.ones(len(vectors), dtype=np.int64))
    logits = network_logits(ensemble.members[0], inputs, np.arange(TRAIN + VALIDATION, len(vectors)), 2)
    return float(np.mean(np.logaddexp(0, logits) - logits * success[TRAIN + VALIDATION :]))


def test_soft_success_teaches_where_outcomes_are_few() -> None:
    vectors, probability, success = outcomes()
    few = success[: TRAIN + VALIDATION].copy()
    few[TRAIN // 4 : TRAIN] = np.nan
    without = trained(vectors, texts_of(few, None))
    beside = trained(vectors, texts_of(few, probability[: TRAIN + VALIDATION]))
    assert loss_on_new(beside, vectors, success) < loss_on_new(without, vectors, success) - 0.02


def test_the_trained_network_predicts_success_alone() -> None:
    vectors, probability, success = outcomes()
    ensemble = trained(vectors, texts_of(success[: TRAIN + VALIDATION], probability[: TRAIN + VALIDATION]))
    assert ensemble.members[0](torch.from_numpy(vectors[:5])).shape == (5, 2)
    assert ensemble.members[0].state_dict()["output.weight"].shape == (2, 3)
    assert ensemble.out_of_fold.shape == (TRAIN + VALIDATION, 2)


def test_soft_success_of_validation_rows_is_not_learnt_from() -> None:
    vectors, probability, success = outcomes()
    known = TRAIN + VALIDATION
    other = probability[:known].copy()
    other[TRAIN:] = 0.5
    one, two = (trained(vectors, texts_of(success[:known], soft)) for soft in (probability[:known], other))
    assert one.histories == two.histories
    torch.testing.assert_close(one.members[0].state_dict(), two.members[0].state_dict(), rtol=0, atol=0)


def test_targets_of_equal_texts_are_their_means_and_unknown_ones_count_nothing() -> None:
    labels = LabelledInstructions(
        "repeated",
        ("a",),
        ["1", "2", "3", "4"],
        ["same", "same", "other", "held back"],
        [[1], [0], [1], [1]],
        soft_success=[[0.9], [0.3], [np.nan], [0.8]],
    )
    values, weight = training_texts(labels, *distinct_texts(labels, 3), 3, seed=0).targets()
    np.testing.assert_allclose(values, [[0.5, 0.6], [1, 0], [1, 0.8]], rtol=1e-6)
    np.testing.assert_array_equal(weight, [[2, 2], [1, 0], [1, 0]])
