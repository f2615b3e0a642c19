"""False alarms and power of whole drift reports, over enough of them to put an interval on the rates.

Every report has a seed of its own: with one seed for all, their thresholds would err together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drifting import decisions, embeddings, occupancy

from routing_assets.monitoring import DriftSettings, drift_report

DEFAULT = DriftSettings()
NOTHING_TOLERATED = DriftSettings(tolerance=0.0, ranking_tolerance=0.0, tolerated_psi=0.0, tolerated_auc=0.5)
FIRST = 100_000


@pytest.mark.slow
def test_false_alarms_stay_below_their_rate() -> None:
    assert _rate("no drift, nothing tolerated", NOTHING_TOLERATED, 1200) <= 0.05
    assert _rate("no drift, default tolerance", DEFAULT, 400) <= 0.02


@pytest.mark.slow
def test_planted_drift_is_found() -> None:
    _rate("success down by 0.05", DEFAULT, 200, drop=0.05)
    assert _rate("success down by 0.08", DEFAULT, 200, drop=0.08) > 0.9
    assert _rate("one model down by 0.15", DEFAULT, 200, drop=0.15, drop_of="small") > 0.9
    assert _rate("a fifth of the instructions of a new kind", DEFAULT, 200, new=0.2) > 0.8


def _rate(
    what: str, settings: DriftSettings, reports: int, *, new: float = 0.0, drop: float = 0.0, drop_of=""
) -> float:
    found = 0
    for seed in range(reports):
        report = drift_report(
            decisions(FIRST + seed, drop=drop, drop_of=drop_of),
            occupancy(2 * FIRST + seed),
            embeddings(3 * FIRST + seed, new=new),
            replace(settings, seed=seed),
        )
        found += bool(report.drifted)
    rate = found / reports
    error = 1.96 * np.sqrt(rate * (1 - rate) / reports)
    print(f"{what:45} {rate:6.1%} +- {error:.1%} of {reports} reports of 1,500 outcomes")
    return rate
