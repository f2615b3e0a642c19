"""Copies of a text tell no more about a router than one of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from routing_assets.monitoring import DriftReport, DriftSettings, drift_report
from routing_assets.routers.watch import decisions

MODELS = np.array(["large", "middle", "small"])
STRICT = DriftSettings(tolerance=0.0, ranking_tolerance=0.0)


def report(seed: int, texts: int, copies: int, fall: float = 0.0, settings: DriftSettings = STRICT) -> DriftReport:
    """Of calibrated decisions on each text several times, shuffled; all copies of a text succeed or fail together."""
    rng = np.random.default_rng(seed)
    predicted, luck = np.round(rng.beta(4, 2, texts), 2), rng.random(texts)
    text = rng.permutation(np.repeat(np.arange(texts), copies))
    matched = pa.table(
        {
            "model": rng.choice(MODELS, len(text)),
            "expected_success": predicted[text],
            "success": (luck < predicted - fall)[text].astype(float),
        }
    )
    return drift_report(decisions(matched, text), settings=replace(settings, seed=seed))


@pytest.mark.parametrize(("texts", "copies"), [(400, 5), (200, 10)])
def test_copies_raise_no_more_false_alarms_than_distinct_texts(texts: int, copies: int) -> None:
    """60 reports with nothing tolerated, and the upper 95 % bound of the 3 that may alarm."""
    assert sum(report(seed, texts, copies).advice != "none" for seed in range(60)) <= 6


def test_drift_is_still_found_in_copies_and_its_evidence_is_the_texts() -> None:
    found = report(0, 400, 5, fall=0.15, settings=DriftSettings())
    assert found.advice != "none"
    assert found.judged == 400


def test_of_the_copies_the_first_with_an_outcome_counts() -> None:
    matched = pa.table({"model": ["a", "b", "c"], "expected_success": [0.1, 0.2, 0.3], "success": [None, 1.0, 0.0]})
    same, distinct = (decisions(matched, np.array(component)) for component in ([0, 0, 0], [0, 1, 2]))
    assert (same.models, same.predicted.tolist()) == (("b",), [0.2])
    assert (distinct.models, distinct.success.tolist()) == (("b", "c"), [1.0, 0.0])
