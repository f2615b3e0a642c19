from __future__ import annotations

import numpy as np
import pytest

from routing_assets.datasets.simulated import PUBLISHED, simulate, simulate_sample
from routing_assets.foundation.errors import InvalidInput

TWINS = tuple(PUBLISHED)


@pytest.fixture(scope="module", params=TWINS)
def full(request: pytest.FixtureRequest):
    """The twin's name and a sample of the published size."""
    return request.param, simulate_sample(request.param)


def assert_within_sampling_error(rate: np.ndarray, published: np.ndarray, n: int) -> None:
    """Four standard errors: a chance of about 1 in 16,000 per rate for a right simulator."""
    np.testing.assert_array_less(np.abs(rate - published), 4 * np.sqrt(published * (1 - published) / n))


def test_each_model_succeeds_as_often_as_published(full) -> None:
    twin, sample = full
    published = np.array([model.success for model in PUBLISHED[twin].models])
    assert len(sample.labels) == PUBLISHED[twin].size
    assert_within_sampling_error(sample.labels.success.mean(axis=0), published, len(sample.labels))


def test_each_model_succeeds_on_each_task_as_published(full) -> None:
    twin, sample = full
    labels, experiment = sample.labels, PUBLISHED[twin]
    for task, published in zip(experiment.tasks, experiment.task_success().T, strict=True):
        rows = labels.task == task
        assert rows.sum() == experiment.size / len(experiment.tasks)
        assert_within_sampling_error(labels.success[rows].mean(axis=0), published, int(rows.sum()))


@pytest.mark.parametrize("twin", TWINS)
def test_published_task_rates_average_to_the_overall_rate_and_keep_their_shape(twin: str) -> None:
    experiment = PUBLISHED[twin]
    rates = experiment.task_success()
    np.testing.assert_allclose(rates.mean(axis=1), [model.success for model in experiment.models], atol=1e-9)
    for moved, model in zip(rates, experiment.models, strict=True):
        assert np.argsort(moved).tolist() == np.argsort(model.task_accuracy).tolist()


def test_labels_are_marked_simulated_and_zero_or_one(full) -> None:
    twin, sample = full
    labels = sample.labels
    assert labels.simulated
    assert "simulated" in labels.name
    assert set(np.unique(labels.success)) == {0, 1}
    assert labels.models == tuple(model.name for model in PUBLISHED[twin].models)
    assert labels.cost is None


def test_texts_are_distinct_and_filled(full) -> None:
    texts = full[1].labels.instruction.tolist()
    assert len(set(texts)) == len(texts)
    assert not any("{" in text or "}" in text for text in texts)
    assert all(text == text.strip() and text for text in texts)


def test_the_probability_given_the_text_is_calibrated(full) -> None:
    _, sample = full
    probability, success = sample.probability.ravel(), sample.labels.success.ravel()
    for low in np.arange(0.2, 1.0, 0.2):
        inside = (probability >= low) & (probability < low + 0.2)
        if inside.sum() > 500:
            error = np.abs(probability[inside].mean() - success[inside].mean())
            assert error < 0.02, f"[{low:.1f}, {low + 0.2:.1f})"


def test_same_seed_same_sample_and_other_seed_other_texts() -> None:
    one, again, other = simulate("r1_math", 300, 7), simulate("r1_math", 300, 7), simulate("r1_math", 300, 8)
    assert one.content_hash == again.content_hash
    assert one.content_hash != other.content_hash
    assert not set(one.instruction_id) & set(other.instruction_id)
    assert len(set(one.instruction) & set(other.instruction)) < 30


def test_samples_of_one_twin_share_one_world() -> None:
    """What is learnt on one seed holds on another: equal cells have equal probabilities."""
    one, other = (simulate_sample("llm_uncertainty_bench", 4_000, seed).probability.round(9) for seed in (1, 2))
    assert set(map(tuple, one)) == set(map(tuple, other))


def test_small_samples_cover_all_tasks_evenly() -> None:
    tasks, counts = np.unique(simulate("llm_uncertainty_bench", 52).task, return_counts=True)
    assert set(tasks) == {"QA", "RC", "CI", "DRS", "DS"}
    assert counts.max() - counts.min() <= 1
    assert len(simulate("r1_math", 1)) == 1


def test_samples_beyond_the_published_size_end() -> None:
    assert len(simulate("r1_math", 20_000, seed=3)) == 20_000


@pytest.mark.parametrize("twin", TWINS)
def test_routing_by_the_true_probability_beats_the_best_single_model(twin: str) -> None:
    sample = simulate_sample(twin, 5_000, seed=11)
    success = sample.labels.success
    routed = success[np.arange(len(success)), sample.probability.argmax(axis=1)].mean()
    assert routed > success.mean(axis=0).max() + 0.005


def test_unknown_twins_and_empty_samples_are_refused() -> None:
    with pytest.raises(InvalidInput, match="llm_uncertainty_bench, r1_math"):
        simulate("gpt")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="size of a simulated sample is 0"):
        simulate("r1_math", 0)
