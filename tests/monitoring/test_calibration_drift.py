from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drifting import decisions
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring import Decisions, DriftMetric, calibration_drift


def figures(given: Decisions, **options: float) -> dict[tuple[str, str], DriftMetric]:
    metrics = calibration_drift(
        given, **({"alarm_rate": 0.01, "tolerance": 0.0, "ranking_tolerance": 0.0, "seed": 0} | options)
    )
    return {(metric.name, metric.model): metric for metric in metrics}


@settings(max_examples=settings().max_examples // 5)
@given(st.integers(0, 1000), st.floats(0, 0.3))
def test_scores_are_the_textbooks_minus_their_expected_values(seed: int, drop: float) -> None:
    given = decisions(seed, 300, drop=drop)
    given = replace(given, predicted=np.round(given.predicted, 1))
    p, y = np.clip(given.predicted, 1e-6, 1 - 1e-6), given.success
    now = figures(given, alarm_rate=0.1)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert now["brier", ""].value == pytest.approx(brier_score_loss(y, p) - (p * (1 - p)).mean(), abs=1e-6)
    assert now["log_loss", ""].value == pytest.approx(log_loss(y, p) - entropy, abs=1e-6)
    assert now["success_gap", ""].value == pytest.approx(abs((y - given.predicted).mean()))
    small = given.model == "small"
    assert now["success_gap", "small"].value == pytest.approx(abs((y - given.predicted)[small].mean()))


def test_ranking_is_the_auc_that_calibrated_predictions_would_have_less_the_one_they_have() -> None:
    given = decisions(3, 4000, shuffle=0.5)
    one_model = Decisions(given.predicted, given.success, np.full(4000, "m"))
    rng = np.random.default_rng(1)
    promised = np.mean([roc_auc_score(rng.random(4000) < given.predicted, given.predicted) for _ in range(50)])
    lost = promised - roc_auc_score(given.success, given.predicted)
    assert figures(one_model)["ranking", ""].value == pytest.approx(lost, abs=0.005)


def test_ranking_compares_within_models_only() -> None:
    """A lower success rate of one model does not change the ranking of its instructions: recalibration corrects it."""
    now = figures(decisions(0, 20_000, drop=0.25, drop_of="large"), ranking_tolerance=0.03)
    assert now["success_gap", "large"].drifted
    assert not now["success_gap", "small"].drifted
    assert not now["ranking", ""].drifted


def test_an_error_within_tolerance_is_no_drift_with_any_number_of_outcomes() -> None:
    now = figures(decisions(0, 200_000, drop=0.015), tolerance=0.02, ranking_tolerance=0.02)
    assert not [metric for metric in now.values() if metric.drifted]
    assert figures(decisions(0, 200_000, drop=0.015))["ece", ""].drifted


def test_a_handful_of_outcomes_raises_no_alarm() -> None:
    five = decisions(0, 5)
    unlucky = Decisions(np.full(5, 0.7), np.zeros(5), five.model)
    assert not figures(unlucky, alarm_rate=0.001)["success_gap", ""].drifted
    all_right = Decisions(np.full(5, 0.7), np.ones(5), five.model)
    assert not [metric for metric in figures(all_right).values() if metric.drifted]


def test_power_grows_with_the_number_of_outcomes() -> None:
    found = {
        n: sum(figures(decisions(seed, n, drop=0.1), tolerance=0.02)["success_gap", ""].drifted for seed in range(10))
        for n in (100, 2000)
    }
    assert found[100] < found[2000] == 10


def test_continuous_and_partial_outcomes_are_fine() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(5000)
    partial = Decisions(p, np.clip(p + rng.normal(0, 0.02, 5000), 0, 1), np.full(5000, "m"))
    assert not figures(partial, tolerance=0.01)["ece", ""].drifted


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.5])
def test_values_outside_their_range_are_refused(wrong: float) -> None:
    with pytest.raises(InvalidInput, match="success has values outside"):
        Decisions(np.array([0.5]), np.array([wrong]), np.array(["m"]))
