"""False alarms and power of whole drift reports, over enough of them to put an interval on the rates."""

from __future__ import annotations

import numpy as np
import pytest
from drifting import decisions, embeddings, occupancy

from routing_assets.monitoring import DriftSettings, drift_report

REPORTS = 400
NOTHING_TOLERATED = DriftSettings(tolerance=0.0, ranking_tolerance=0.0, tolerated_psi=0.0, tolerated_auc=0.5)


@pytest.mark.slow
def test_false_alarms_stay_below_their_rate_and_planted_drift_is_found() -> None:
    rate = {
        "no drift, nothing tolerated": _rate(NOTHING_TOLERATED),
        "no drift, default tolerance": _rate(DriftSettings()),
        "success down by 0.05, 1,500 outcomes": _rate(DriftSettings(), drop=0.05),
        "success down by 0.08, 1,500 outcomes": _rate(DriftSettings(), drop=0.08),
        "one model down by 0.15": _rate(DriftSettings(), drop=0.15, drop_of="small"),
        "a fifth of the instructions of a new kind": _rate(DriftSettings(), new=0.2),
    }
    for what, share in rate.items():
        error = 1.96 * np.sqrt(share * (1 - share) / REPORTS)
        print(f"{what:45} {share:6.1%} +- {error:.1%} of {REPORTS} reports")
    assert rate["no drift, nothing tolerated"] <= 0.05
    assert rate["no drift, default tolerance"] <= 0.01
    assert rate["success down by 0.08, 1,500 outcomes"] > 0.8
    assert rate["one model down by 0.15"] > 0.8
    assert rate["a fifth of the instructions of a new kind"] > 0.8


def _rate(settings: DriftSettings, *, new: float = 0.0, **drift: float | str) -> float:
    found = 0
    for seed in range(REPORTS):
        report = drift_report(
            decisions(seed, **drift), occupancy(10_000 + seed), embeddings(20_000 + seed, new=new), settings
        )
        found += bool(report.drifted)
    return found / REPORTS
