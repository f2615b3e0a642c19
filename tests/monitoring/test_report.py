from __future__ import annotations

import numpy as np
import pytest
from drifting import decisions, embeddings, occupancy

from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring import Decisions, DriftReport, DriftSettings, drift_report

DEFAULT = DriftSettings()
STRICT = DriftSettings(tolerance=0.0, ranking_tolerance=0.0, tolerated_psi=0.0, tolerated_auc=0.5)


def report(seed: int, settings: DriftSettings = DEFAULT, *, new=0.0, harder=0.0, n=1500, **drift) -> DriftReport:
    return drift_report(
        decisions(seed, n, **drift), occupancy(10_000 + seed, harder=harder), embeddings(seed, new=new), settings
    )


def test_no_drift_raises_an_alarm_in_at_most_one_report_of_twenty() -> None:
    """Even with nothing tolerated; 60 reports, and the upper 95 % bound of 3; test_rates.py judges more."""
    alarms = [bool(report(seed, STRICT, n=200).drifted) for seed in range(60)]
    assert sum(alarms) <= 6


@pytest.mark.parametrize("seed", range(3))
def test_the_report_names_what_drifts_and_advises_what_to_do(seed: int) -> None:
    quiet = report(seed)
    assert quiet.advice == "none"
    assert "within what chance" in quiet.why

    off = report(seed, drop=0.12)
    assert off.advice == "recalibrate"
    assert {"success_gap", "ece"} <= {metric.name for metric in off.drifted}

    one_model = report(seed, drop=0.2, drop_of="small")
    assert one_model.advice == "recalibrate"
    assert {metric.model for metric in one_model.drifted} <= {"", "small"}
    assert "small" in {metric.model for metric in one_model.drifted}

    disorder = report(seed, shuffle=1.0)
    assert disorder.advice == "retrain"
    assert "no longer rank" in disorder.why

    new_and_wrong = report(seed, drop=0.12, new=0.5)
    assert new_and_wrong.advice == "retrain"
    assert "new kind" in new_and_wrong.why

    new_but_right = report(seed, new=0.5, harder=0.8)
    assert new_but_right.advice == "none"
    assert "predictions still hold" in new_but_right.why
    assert {metric.name for metric in new_but_right.drifted} == {"bucket_psi", "embedding_auc"}


def test_inputs_may_be_watched_before_outcomes_are_in() -> None:
    early = drift_report(embeddings=embeddings(0, new=0.6))
    assert early.advice == "none"
    assert "only outcomes can show" in early.why
    nothing_back = Decisions(np.array([]), np.array([]), np.array([], dtype=object))
    assert drift_report(nothing_back, occupancy(0)).advice == "none"


def test_a_report_without_outcomes_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="no data to judge"):
        drift_report()
    with pytest.raises(InvalidInput, match="false-alarm rate"):
        DriftSettings(false_alarm_rate=0.0)


def test_the_same_seed_gives_the_same_report() -> None:
    assert report(1) == report(1)


def test_words_name_value_and_threshold() -> None:
    off = report(0, drop=0.2)
    gap = next(metric for metric in off.metrics if metric.name == "success_gap" and not metric.model)
    assert f"{gap.value:.3g}, over {gap.threshold:.3g}" in off.why
    assert gap.noise_floor < gap.threshold == pytest.approx(gap.noise_floor + 0.02)
