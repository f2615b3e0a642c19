from __future__ import annotations

import numpy as np
import pytest
from drifting import embeddings, occupancy

from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring import (
    Embeddings,
    Occupancy,
    embedding_shift,
    occupancy_shift,
    population_stability_index,
)


def test_psi_is_zero_for_equal_shares_and_known_for_swapped_ones() -> None:
    assert population_stability_index(np.array([50, 50]), np.array([500, 500])) == pytest.approx(0)
    half_against_tenth = (0.9 - 0.5) * np.log(0.9 / 0.5) + (0.1 - 0.5) * np.log(0.1 / 0.5)
    many = 10**7
    assert population_stability_index(np.array([many, many]), np.array([9, 1]) * many) == pytest.approx(
        half_against_tenth, rel=1e-3
    )


def test_an_empty_bucket_is_no_infinity() -> None:
    assert np.isfinite(population_stability_index(np.array([10, 0]), np.array([0, 10])))


def test_the_shifted_model_is_named() -> None:
    rng = np.random.default_rng(0)
    reference, current = rng.random((3000, 2)), rng.random((1000, 2))
    current[:, 1] **= 2
    still, moved = occupancy_shift(
        Occupancy(reference, current, ("still", "moved")), alarm_rate=0.01, tolerated_psi=0.1, seed=0
    )
    assert (still.drifted, moved.drifted) == (False, True)
    assert moved.model == "moved"


def test_buckets_are_deciles_of_the_reference_and_a_handful_is_noise() -> None:
    shifted = occupancy(0, harder=1.0)
    edges = np.quantile(shifted.reference[:, 0], np.linspace(0, 1, 11))
    counts = [np.histogram(values[:, 0], [0, *edges[1:-1], 1])[0] for values in (shifted.reference, shifted.current)]
    large = occupancy_shift(shifted, alarm_rate=0.01, tolerated_psi=0.1, seed=0)[0]
    assert large.value == pytest.approx(population_stability_index(*counts))
    few = occupancy(0, n=500, m=15)
    assert not any(metric.drifted for metric in occupancy_shift(few, alarm_rate=0.01, tolerated_psi=0.1, seed=0))


@pytest.mark.parametrize(("new", "least", "most"), [(0.0, 0.4, 0.55), (0.5, 0.65, 0.8), (1.0, 0.9, 1.0)])
def test_auc_tells_how_much_is_new(new: float, least: float, most: float) -> None:
    metric = embedding_shift(embeddings(0, 2000, 1500, new=new), alarm_rate=0.01, tolerated_auc=0.55, seed=0)
    assert least <= metric.value <= most
    assert metric.drifted == (new > 0)


def test_more_dimensions_than_instructions_raise_no_false_alarm() -> None:
    alarms = [
        embedding_shift(embeddings(s, 60, 40, dimension=160), alarm_rate=0.05, tolerated_auc=0.5, seed=s).drifted
        for s in range(40)
    ]
    assert sum(alarms) <= 4


def test_identical_texts_on_both_sides_are_no_shift() -> None:
    points = embeddings(0, 500, 500).reference
    assert not embedding_shift(Embeddings(points, points), alarm_rate=0.05, tolerated_auc=0.5, seed=0).drifted
    constant = Embeddings(np.ones((50, 8)), np.ones((50, 8)))
    assert embedding_shift(constant, alarm_rate=0.05, tolerated_auc=0.5, seed=0).value == pytest.approx(0.5)


def test_too_few_to_compare_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="fewer than 20"):
        embedding_shift(embeddings(0, 100, 5), alarm_rate=0.05, tolerated_auc=0.55, seed=0)
