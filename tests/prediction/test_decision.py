from __future__ import annotations

import numpy as np
import pytest

from routing_assets.prediction.calibration import fit_buckets
from routing_assets.prediction.decision import choose_estimate, estimate, realised_success

MODELS = ("a", "b", "c")


@pytest.fixture
def world() -> tuple[np.ndarray, np.ndarray]:
    """True probabilities and the successes drawn from them."""
    rng = np.random.default_rng(0)
    probability = rng.beta(2, 2, (1_500, 3)).astype(np.float32)
    return probability, (rng.random((1_500, 3)) < probability).astype(np.float32)


def test_estimates_are_what_they_say(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    buckets = fit_buckets(probability, success, MODELS)
    np.testing.assert_array_equal(estimate("scaled", probability, buckets), probability)
    shrunken = 0.75 * probability + 0.25 * success.mean(0)
    np.testing.assert_allclose(estimate("shrunken", probability, buckets), shrunken, atol=1e-5)
    assert (estimate("lower_bound", probability, buckets) < estimate("bucket", probability, buckets)).mean() > 0.95


def test_true_probabilities_stay(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    chosen, why = choose_estimate(probability, success, fit_buckets(probability, success, MODELS))
    assert chosen == "scaled"
    assert "1500 held-out instructions" in why


def test_buckets_replace_a_distorted_probability(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    distorted = np.stack([probability[:, 0] ** 4, probability[:, 1], probability[:, 2] ** 0.25], axis=1)
    assert choose_estimate(distorted, success, fit_buckets(distorted, success, MODELS))[0] in ("bucket", "lower_bound")


def test_too_few_labels_choose_nothing(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    chosen, why = choose_estimate(probability[:20], success[:20], fit_buckets(probability, success, MODELS))
    assert chosen == "scaled"
    assert "too few" in why


def test_better_knowledge_realises_more(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    ignorant = np.tile(success.mean(0), (len(success), 1)).astype(np.float32)
    assert realised_success(success, success).mean() > realised_success(probability, success).mean()
    assert realised_success(probability, success).mean() > realised_success(ignorant, success).mean()
