import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.evaluation.metrics import (
    aiq,
    cost_to_reach,
    gap_recovered,
    hull_mixture,
    hull_success,
    non_decreasing_hull,
)

# Five models by hand: (1, .40) cheapest; (2, .60); (3, .65) under the line to (5, .80); (4, .30) dominated; (9, .70)
# dear but worse than (5, .80).
COST = np.array([5.0, 1.0, 9.0, 3.0, 2.0, 4.0])
SUCCESS = np.array([0.80, 0.40, 0.70, 0.65, 0.60, 0.30])


def test_hull_keeps_the_vertices_worked_out_by_hand():
    cost, success = non_decreasing_hull(COST, SUCCESS)
    np.testing.assert_allclose(cost, [1, 2, 5])
    np.testing.assert_allclose(success, [0.4, 0.6, 0.8])


def test_hull_of_equal_costs_takes_the_best_and_of_equal_success_the_cheapest():
    cost, success = non_decreasing_hull(np.array([1.0, 1.0, 2.0, 3.0]), np.array([0.2, 0.5, 0.7, 0.7]))
    np.testing.assert_allclose(cost, [1, 2])
    np.testing.assert_allclose(success, [0.5, 0.7])


def test_zero_router_between_beyond_and_under_the_vertices():
    hull = non_decreasing_hull(COST, SUCCESS)
    np.testing.assert_allclose(hull_success(hull, np.array([1.5, 3.5, 9.0])), [0.5, 0.7, 0.8])
    assert np.isnan(hull_success(hull, 0.9))


def test_mixture_spends_the_budget_and_gets_the_height_of_the_hull():
    share = hull_mixture(COST, SUCCESS, 3.5)
    np.testing.assert_allclose(share, [0.5, 0, 0, 0, 0.5, 0])
    np.testing.assert_allclose(hull_mixture(COST, SUCCESS, 100.0), [1, 0, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="under the cheapest"):
        hull_mixture(COST, SUCCESS, 0.5)


points = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=9)


@given(points, st.integers(0, 24))
def test_hull_equals_the_best_mixture_of_any_two_points(some, twice_budget):
    cost, success = (np.array(column, dtype=float) for column in zip(*some, strict=True))
    budget = twice_budget / 2
    mixtures = [s for c, s in some if c <= budget]
    for c1, s1 in some:
        mixtures += [s1 + (s2 - s1) * (budget - c1) / (c2 - c1) for c2, s2 in some if c1 <= budget <= c2 and c1 < c2]
    height = hull_success(non_decreasing_hull(cost, success), budget)
    if mixtures:
        assert height == pytest.approx(max(mixtures))
        share = hull_mixture(cost, success, budget)
        assert share @ success == pytest.approx(max(mixtures))
        assert share.sum() == pytest.approx(1)
        assert share @ cost <= budget + 1e-9
    else:
        assert np.isnan(height)


def test_aiq_by_hand_in_both_normalisations():
    # Hull (1, .4) (2, .6) (5, .8), flat to 9: areas .5 + 2.1 + 3.2 = 5.8.
    result = aiq(COST, SUCCESS, cost_min=1, cost_max=9)
    assert result.paper == pytest.approx(5.8 / 8)
    assert result.code == pytest.approx(5.8 / 9)


def test_aiq_of_a_curve_that_starts_late():
    # (3, .5) flat to 5: area 1.0; over the range 1..5, and over 5 in the program's way.
    result = aiq(np.array([3.0]), np.array([0.5]), cost_min=1, cost_max=5)
    assert result.paper == pytest.approx(1.0 / 4)
    assert result.code == pytest.approx(1.0 / 5)


def test_cost_to_reach_interpolates_and_admits_failure():
    cost, success = np.array([0.5, 0.1, 1.0]), np.array([0.8, 0.4, 0.9])
    assert cost_to_reach(cost, success, 0.6) == pytest.approx(0.3)
    assert cost_to_reach(cost, success, 0.85) == pytest.approx(0.75)
    assert cost_to_reach(cost, success, 0.3) == pytest.approx(0.1)
    assert cost_to_reach(cost, success, 0.91) is None


def test_everything_on_the_best_model_reaches_all_of_its_success_though_sums_round():
    cost = np.array([0.5, 1.0])
    assert cost_to_reach(cost, np.array([0.8, 1 - 1.3e-15]), 1.0) == 1.0
    assert cost_to_reach(cost, np.array([1 - 1.3e-15, 1.0]), 1.0) == 0.5
    assert cost_to_reach(cost, np.array([0.8, 0.999]), 1.0) is None


def test_gap_recovered_by_hand():
    # weak .5, strong .9; at half the strong calls .8, so PGR (0, .75, 1): area .5*.375 + .5*.875 = .625.
    result = gap_recovered(np.array([0.5]), np.array([0.8]), weak=0.5, strong=0.9)
    assert result.apgr == pytest.approx(0.625)
    assert result.cpt50 == pytest.approx(1 / 3)
    assert result.cpt80 == pytest.approx(0.6)


def test_random_mixing_recovers_half():
    share = np.linspace(0, 1, 11)
    result = gap_recovered(share, 0.5 + 0.4 * share, weak=0.5, strong=0.9)
    assert result.apgr == pytest.approx(0.5)
    assert result.cpt50 == pytest.approx(0.5)
    assert result.cpt80 == pytest.approx(0.8)


def test_aiq_where_all_models_cost_the_same_is_the_height():
    result = aiq(np.array([2.0, 2.0]), np.array([0.5, 0.7]), cost_min=2, cost_max=2)
    assert (result.paper, result.code) == (0.7, 0.0)
