from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from planted import planted_evaluation, planted_result

from routing_assets.evaluation.intervals import basic_interval, bootstrap_curves, interval, mean_curves
from routing_assets.evaluation.summary import aiq_difference


@pytest.fixture(scope="module")
def seeds():
    return [planted_result(seed, n=300) for seed in range(4)]


def test_estimate_is_the_mean_over_seeds(seeds):
    curves = mean_curves(seeds)
    by_hand = [s.outcomes["mip"].success[3].mean() / s.success.mean(axis=0).max() for s in seeds]
    assert curves.relative[0, curves.of("mip"), 3] == pytest.approx(np.mean(by_hand))
    spent = [s.outcomes["mip"].cost[3].sum() / s.cost[:, 0].sum() for s in seeds]
    assert curves.cost_fraction[0, curves.of("mip"), 3] == pytest.approx(np.mean(spent))
    assert_allclose(curves.relative[0, curves.of("best_single")], 1.0)


def test_infeasible_budgets_stay_absent(seeds):
    curves = bootstrap_curves(seeds, 20)
    assert np.isnan(curves.relative[:, curves.of("mip"), 0]).all()
    assert np.isfinite(curves.relative[:, curves.of("mip"), 1:]).all()


def test_a_budget_that_some_seeds_can_afford_is_averaged_over_those_seeds(seeds):
    missing = seeds[0].outcomes["mip"]
    holed = replace(missing, success=np.full_like(missing.success, np.nan))
    partly = [replace(seeds[0], outcomes={**seeds[0].outcomes, "mip": holed}), *seeds[1:]]
    curves, rest = mean_curves(partly), mean_curves(seeds[1:])
    assert_allclose(curves.relative[0, curves.of("mip"), 2], rest.relative[0, rest.of("mip"), 2])


def test_policies_are_compared_in_the_seeds_that_both_can_afford(seeds):
    raw = seeds[0].outcomes["mip_raw"]
    holed = replace(raw, success=np.full_like(raw.success, np.nan))
    partly = [replace(seeds[0], outcomes={**seeds[0].outcomes, "mip_raw": holed}), *seeds[1:]]
    curves = mean_curves(partly)
    unpaired = curves.relative[0, curves.of("mip")] - curves.relative[0, curves.of("mip_raw")]
    assert np.nanmax(np.abs(unpaired)) > 1e-4
    assert_allclose(curves.difference("mip", "mip_raw")[0, 1:], 0, atol=1e-12)
    drawn = bootstrap_curves(partly, 50).difference("mip", "mip_raw")
    assert np.nanmax(np.abs(drawn)) < 1e-12


def test_intervals_centre_on_the_estimate_and_narrow_with_data(seeds):
    few, many = ([planted_result(seed, n=n) for seed in range(4)] for n in (50, 800))
    widths = []
    for results in (few, many):
        point, drawn = mean_curves(results), bootstrap_curves(results, 400)
        p = point.of("mip")
        low, high = interval(drawn.success[:, p, 3])
        assert low < point.success[0, p, 3] < high
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]


def test_the_basic_interval_turns_the_percentile_one_around_the_estimate():
    """Worked by hand: replicates run 0.1 below to 0.3 above the estimate, so the truth is 0.3 below to 0.1 above."""
    replicates = np.linspace(0.9, 1.3, 1001)
    assert interval(replicates, level=1.0) == pytest.approx((0.9, 1.3))
    assert basic_interval(1.0, replicates, level=1.0) == pytest.approx((0.7, 1.1))


@pytest.mark.slow
def test_an_area_under_a_hull_of_noise_is_not_shown_to_be_a_gain():
    """A hull takes the luckiest points of a curve, in every replicate anew; blind MIP gains nothing all the same."""
    shown = 0
    for world in range(24):
        blind = planted_evaluation(seeds=2, replicates=100, informed=False, n=200, first=100 * world)
        gain = aiq_difference(blind.mean_curves, blind.bootstrap, "mip", "zero_router")
        shown += gain["interval"][0] > 0
    assert shown <= 1


def test_comparisons_are_paired(seeds):
    curves = bootstrap_curves(seeds, 200)
    same = curves.relative[:, curves.of("mip")] - curves.relative[:, curves.of("mip_raw")]
    assert np.nanmax(np.abs(same)) < 1e-12
    mip, oracle = curves.relative[:, curves.of("mip"), 3], curves.relative[:, curves.of("oracle"), 3]
    assert np.std(oracle - mip) < np.sqrt(np.var(oracle) + np.var(mip))


def test_copies_of_a_text_are_not_independent_evidence():
    single = planted_result(0, n=300)
    copies = replace(
        single,
        component=np.tile(single.component, 4),
        rows=np.arange(1200),
        success=np.tile(single.success, (4, 1)),
        cost=np.tile(single.cost, (4, 1)),
        outcomes={
            name: replace(outcome, success=np.tile(outcome.success, (1, 4)), cost=np.tile(outcome.cost, (1, 4)))
            for name, outcome in single.outcomes.items()
        },
    )
    widths = [np.subtract(*interval(bootstrap_curves([result], 400).success[:, 3, 3])) for result in (single, copies)]
    assert widths[0] == pytest.approx(widths[1], rel=1e-6)


def test_same_seed_same_replicates(seeds):
    first, again = bootstrap_curves(seeds, 60, seed=1), bootstrap_curves(seeds, 60, seed=1)
    np.testing.assert_array_equal(first.relative, again.relative)
    assert len(first.best) == 60


def test_a_draw_without_any_success_of_the_best_model_is_left_out():
    """Twelve rows of which the best model solves one: a third of the draws of a seed has none of it."""
    result = planted_result(0, n=12)
    success = np.zeros_like(result.success)
    success[3, 0] = 1
    curves = bootstrap_curves([replace(result, success=success)], 200)
    relative = curves.relative[:, curves.of("oracle")]
    assert not np.isinf(relative).any()
    assert 0.2 < np.isnan(relative[:, -1]).mean() < 0.5
