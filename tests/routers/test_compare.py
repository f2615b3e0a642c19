"""Routers for different models: who may replace whom, and by what right."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import LabelledInstructions
from routing_assets.home import Home
from routing_assets.routers.compare import judging_rows, quality_of, what_it_has_more, why_unfit
from routing_assets.routers.shelf import JUDGED_BY, LEARNT_FROM
from routing_assets.routers.texts_learnt import learnt_table


@pytest.mark.parametrize(
    ("known", "models", "priced", "why"),
    [
        ("ab", "abc", "abc", None),
        ("ab", "abc", "ab", "there are no prices in force of c"),
        ("abc", "ab", "abc", "it does not know c, which the router in force does"),
        ("abc", "ab", "ab", None),  # the catalog no longer names c
        ("ab", "xy", "xy", None),
        ("ab", "xy", "abxy", "it does not know a, b"),
    ],
)
def test_a_router_for_other_models_has_to_serve_at_the_prices_in_force(
    known: str, models: str, priced: str, why: str | None
) -> None:
    found = why_unfit(set(known), set(models), set(priced))
    assert found is None if why is None else found is not None and found.startswith(why)


def test_more_models_or_more_labels_of_added_ones_are_a_right_of_their_own() -> None:
    champion = {"router_version": "v1", "models": ["a", "b"], "decision_estimate": "scaled"}
    trained = {"models": ["a", "b"], "origin": "trained", "parent": None, "decision_estimate": "bucket"}
    extended = {"models": ["a", "b"], "origin": "extended", "parent": "v1", "decision_estimate": "scaled"}
    assert what_it_has_more(champion, trained) is None
    assert what_it_has_more(champion, extended | {"parent": "v0"}) is None
    assert what_it_has_more(champion, extended) == "it knows added models by newer labels"
    assert what_it_has_more(champion, extended | {"models": ["a", "b", "c"]}) == "it adds c"
    by_rates = {"decision_estimate": "rate"}
    assert "tells instructions apart" in str(what_it_has_more(champion | by_rates, trained))
    assert what_it_has_more(champion | by_rates, trained | by_rates) is None
    assert what_it_has_more(champion, trained | by_rates) is None


def test_a_comparison_is_judged_by_what_neither_router_learnt_from(home: Home) -> None:
    texts = [f"text {row}" for row in range(6)]
    labels = LabelledInstructions(
        "t", ("m",), np.array(texts, dtype=object), np.array(texts, dtype=object), np.ones((6, 1))
    )
    for version, learnt in (("champion", [0, 1]), ("challenger", [1, 2])):
        (home.shelf.folder / version).mkdir(parents=True)
        parts = {"train": np.array(learnt), "test": np.array([3])}
        pq.write_table(learnt_table(labels, parts), home.shelf.folder / version / LEARNT_FROM)
        pq.write_table(labels.to_arrow(), home.shelf.folder / version / JUDGED_BY)
    rows = judging_rows(home.shelf, "champion", "challenger", ("m",), only_outcomes=False)
    assert rows.instruction.tolist() == texts[3:]


def test_errors_of_two_models_do_not_cancel_in_a_calibration_error() -> None:
    rng = np.random.default_rng(0)
    success = (rng.random((2000, 2)) < 0.5).astype(np.float32)
    success[::3, 1] = np.nan
    quality = quality_of(np.tile(np.float32([0.3, 0.7]), (2000, 1)), success, ("timid", "bold"))
    assert quality.ece == pytest.approx(0.2, abs=0.03)
    assert quality.brier == pytest.approx(0.25 + 0.04, abs=0.02)
