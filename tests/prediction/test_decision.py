from __future__ import annotations

import numpy as np
import pytest

from routing_assets.prediction.calibration import estimate as decision
from routing_assets.prediction.calibration.buckets import CalibrationConfig, fit_buckets
from routing_assets.prediction.calibration.estimate import (
    choose_estimate,
    cross_fitted_estimates,
    estimate,
    realised_success,
)
from routing_assets.prediction.calibration.temperatures import fit_temperatures, scale, sigmoid

MODELS = ("a", "b", "c")
EACH = np.arange(1_500)


@pytest.fixture
def world() -> tuple[np.ndarray, np.ndarray]:
    """True probabilities and the successes drawn from them."""
    rng = np.random.default_rng(0)
    probability = rng.beta(2, 2, (1_500, 3)).astype(np.float32)
    return probability, (rng.random((1_500, 3)) < probability).astype(np.float32)


def test_each_estimate_is_what_its_name_says(world: tuple[np.ndarray, np.ndarray]) -> None:
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
    chosen, why = choose_estimate(logit(probability), success, MODELS, EACH)
    assert chosen == "scaled"
    assert "1500 held-out instructions" in why


def test_buckets_replace_a_distorted_probability(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    distorted = logit(probability) + np.array([-2.5, 0.0, 2.5], dtype=np.float32)
    assert choose_estimate(distorted, success, MODELS, EACH)[0] in ("bucket", "lower_bound")


def test_a_bucket_is_judged_by_labels_that_it_does_not_count() -> None:
    """Thirty models of the same skill and logits of noise: no estimate is informative, so none may look better."""
    rng = np.random.default_rng(1)
    logits, models = rng.normal(0, 0.2, (300, 30)).astype(np.float32), [str(k) for k in range(30)]
    success = (rng.random((300, 30)) < 0.5).astype(np.float32)
    narrow = CalibrationConfig(min_count=5)
    folds = np.array_split(rng.permutation(300), 5)
    fair = cross_fitted_estimates(logits, success, models, folds, component=np.arange(300), calibration=narrow)[
        "bucket"
    ]
    rows = np.concatenate(folds)
    in_sample = estimate("bucket", sigmoid(logits), fit_buckets(sigmoid(logits), success, models, narrow))
    assert realised_success(in_sample, success).mean() > 0.6
    assert realised_success(fair, success[rows]).mean() < 0.55


def test_cross_fitted_estimates_are_those_of_the_other_rows(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    fold, rest = np.arange(100), np.arange(100, 1_500)
    found = cross_fitted_estimates(
        logit(probability), success, MODELS, [fold], component=EACH, calibration=CalibrationConfig()
    )
    temperatures = fit_temperatures(logit(probability)[rest], success[rest])
    scaled = scale(logit(probability), temperatures)
    buckets = fit_buckets(scaled[rest], success[rest], MODELS)
    for name, matrix in found.items():
        np.testing.assert_array_equal(matrix, estimate(name, scaled[fold], buckets))


def test_copies_of_a_text_are_one_observation() -> None:
    """A calibrated world of few texts: the more copies, the surer a bucket seems that counts their labels."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        probability = rng.beta(2, 2, (200, 3)).astype(np.float32)
        success = (rng.random((200, 3)) < probability).astype(np.float32)
        text = np.repeat(np.arange(200), 5)
        chosen, why = choose_estimate(logit(probability)[text], success[text], MODELS, text)
        assert chosen == "scaled", (seed, why)
        assert "1000 held-out instructions, 200 of them unrelated," in why


def test_estimates_are_not_fitted_on_rows_related_to_a_judged_row() -> None:
    rng = np.random.default_rng(0)
    logits, text = rng.normal(0, 1, (60, 2)).astype(np.float32), np.repeat(np.arange(30), 2)
    success = (rng.random((60, 2)) < 0.5).astype(np.float32)
    fold = np.array([0])
    with_copy, without = (
        cross_fitted_estimates(*rows, ("a", "b"), [fold], component=component, calibration=CalibrationConfig())
        for rows, component in (
            ((logits, success), text),
            ((np.delete(logits, 1, axis=0), np.delete(success, 1, axis=0)), np.delete(text, 1)),
        )
    )
    for name, matrix in with_copy.items():
        np.testing.assert_array_equal(matrix, without[name])


def test_the_judge_never_spends_more_than_its_budget() -> None:
    rng = np.random.default_rng(0)
    for trial in range(200):
        k = int(rng.integers(1, 4))
        probability = rng.random((int(rng.integers(1, 40)), k))
        price = np.power(10.0, rng.uniform(-2, 0, size=k))
        budget = rng.uniform(0, 1) * price.max()
        choice = decision._allocate(probability, price, budget)
        assert price[choice].mean() <= max(budget, price.min()) * (1 + 1e-12), trial


def test_too_few_labels_choose_nothing(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    success = success.copy()
    success[20:, 1] = np.nan
    chosen, why = choose_estimate(logit(probability), success, MODELS, EACH)
    assert chosen == "scaled"
    assert "20 unrelated held-out instructions have all labels, too few" in why


def test_better_knowledge_realises_more(world: tuple[np.ndarray, np.ndarray]) -> None:
    probability, success = world
    ignorant = np.tile(success.mean(0), (len(success), 1)).astype(np.float32)
    assert realised_success(success, success).mean() > realised_success(probability, success).mean()
    assert realised_success(probability, success).mean() > realised_success(ignorant, success).mean()
