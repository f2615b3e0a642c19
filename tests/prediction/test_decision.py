from __future__ import annotations

import numpy as np
import pytest

from routing_assets.prediction.calibration import CalibrationConfig, fit_buckets, fit_temperatures, scale, sigmoid
from routing_assets.prediction.decision import choose_estimate, cross_fitted_estimates, estimate, realised_success

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


def logit(probability: np.ndarray) -> np.ndarray:
    return np.log(probability / (1 - probability)).astype(np.float32)


def test_true_probabilities_stay(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    chosen, why = choose_estimate(logit(probability), success, MODELS)
    assert chosen == "scaled"
    assert "1500 held-out instructions" in why


def test_buckets_replace_a_distorted_probability(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    distorted = logit(probability) + np.array([-2.5, 0.0, 2.5], dtype=np.float32)
    assert choose_estimate(distorted, success, MODELS)[0] in ("bucket", "lower_bound")


def test_a_bucket_is_judged_by_labels_that_it_does_not_count() -> None:
    """Thirty models of the same skill and logits of noise: no estimate knows anything, so none may look better."""
    rng = np.random.default_rng(1)
    logits, models = rng.normal(0, 0.2, (300, 30)).astype(np.float32), [str(k) for k in range(30)]
    success = (rng.random((300, 30)) < 0.5).astype(np.float32)
    narrow = CalibrationConfig(min_count=5)
    folds = np.array_split(rng.permutation(300), 5)
    fair = cross_fitted_estimates(logits, success, models, folds, narrow)["bucket"]
    rows = np.concatenate(folds)
    in_sample = estimate("bucket", sigmoid(logits), fit_buckets(sigmoid(logits), success, models, narrow))
    assert realised_success(in_sample, success).mean() > 0.6
    assert realised_success(fair, success[rows]).mean() < 0.55


def test_cross_fitted_estimates_are_those_of_the_other_rows(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    fold, rest = np.arange(100), np.arange(100, 1_500)
    found = cross_fitted_estimates(logit(probability), success, MODELS, [fold], CalibrationConfig())
    temperatures = fit_temperatures(logit(probability)[rest], success[rest])
    scaled = scale(logit(probability), temperatures)
    buckets = fit_buckets(scaled[rest], success[rest], MODELS)
    for name, matrix in found.items():
        np.testing.assert_array_equal(matrix, estimate(name, scaled[fold], buckets))


def test_too_few_labels_choose_nothing(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    success = success.copy()
    success[20:, 1] = np.nan
    chosen, why = choose_estimate(logit(probability), success, MODELS)
    assert chosen == "scaled"
    assert "20 held-out instructions have all labels, too few" in why


def test_better_knowledge_realises_more(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    ignorant = np.tile(success.mean(0), (len(success), 1)).astype(np.float32)
    assert realised_success(success, success).mean() > realised_success(probability, success).mean()
    assert realised_success(probability, success).mean() > realised_success(ignorant, success).mean()
