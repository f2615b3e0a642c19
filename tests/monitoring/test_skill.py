"""Skill: what knows more than the rates is recognised with a few hundred labels, and luck hardly ever is."""

from __future__ import annotations

import numpy as np
import pytest

from routing_assets.monitoring.skill import Skill, skill

RATES = np.array([0.4, 0.6, 0.8])


def world(rows: int, seed: int, knows: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 3) and what came: of each row's difficulty, which all models share, the share ``knows``."""
    rng = np.random.default_rng(seed)
    ease = rng.normal(size=(rows, 1))
    seen = knows * ease + np.sqrt(1 - knows**2) * rng.normal(size=(rows, 1))
    logit = np.log(RATES / (1 - RATES))
    success = rng.random((rows, 3)) < 1 / (1 + np.exp(-logit - 1.5 * ease))
    return 1 / (1 + np.exp(-logit - 0.8 * knows * seen)), success.astype(np.float64)


def judged(rows: int, seed: int, knows: float) -> Skill:
    probability, success = world(rows, seed, knows)
    return skill(probability, success, success.mean(axis=0), np.arange(rows))


@pytest.fixture
def without_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bootstrap: it gives the score's interval, by which no skill is shown."""
    monkeypatch.setattr("routing_assets.monitoring.skill.bootstrap_means", lambda *_: np.zeros(1))


@pytest.mark.usefixtures("without_interval")
@pytest.mark.parametrize(("rows", "knows", "least"), [(40, 0.9, 0.8), (80, 0.7, 0.8), (200, 0.7, 0.97)])
def test_useful_predictions_pass(rows: int, knows: float, least: float) -> None:
    assert np.mean([judged(rows, seed, knows).shown for seed in range(100)]) >= least


@pytest.mark.usefixtures("without_interval")
@pytest.mark.parametrize("rows", [30, 80, 400])
def test_predictions_that_know_nothing_pass_in_five_percent_at_most(rows: int) -> None:
    passed = 0
    for seed in range(300):
        probability, _ = world(rows, seed, 1.0)
        _, success = world(rows, seed + 10_000, 1.0)
        dull = RATES + 0.05 * (probability - probability.mean(axis=0))
        passed += skill(dull, success, success.mean(axis=0), np.arange(rows)).shown
    assert passed / 300 <= 0.08


def test_copies_are_one_observation_and_partial_labels_count() -> None:
    probability, success = world(20, 0, 0.9)
    rows = np.repeat(np.arange(20), 10)
    few = skill(probability[rows], success[rows], RATES, rows)
    assert not few.shown
    assert few.why == "20 unrelated held-out instructions; 30 are needed to judge the predictions"
    probability, success = world(300, 0, 0.9)
    success[np.arange(300), np.arange(300) % 3] = np.nan
    found = skill(probability, success, RATES, np.arange(300))
    assert found.shown
    assert found.interval[0] < found.score < found.interval[1]  # type: ignore[index, operator]


def test_predictions_the_wrong_way_round_are_shown_to_be_worse() -> None:
    probability, success = world(300, 0, 0.9)
    found = skill(np.clip(2 * RATES - probability, 0, 1), success, RATES, np.arange(300))
    assert not found.shown
    assert found.is_worse
    assert "do not beat each model's success rate beyond noise" in found.why
