"""What held-out decisions say of the spend of a batch."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.pricing.held_out_spend import (
    LEAST_CALLS,
    HeldOutCalls,
    SpendRatio,
    calibrated_share,
    corresponding_budget,
    spend_ratio,
)
from routing_assets.pricing.spend import CostEstimate


def held_out(
    rows: int = 400, bias: float = 1.0, seed: int = 0, models: int = 3, assumed: float = 0.0, sigma: float = 0.5
) -> HeldOutCalls:
    """Calls that cost ``bias`` times what was estimated, lognormally spread."""
    rng = np.random.default_rng(seed)
    mean = np.tile(np.geomspace(1, 10, models), (rows, 1))
    cost = mean * bias * np.exp(rng.normal(0, sigma, mean.shape) - sigma**2 / 2)
    estimate = CostEstimate(mean, 0.5 * mean, np.full(models, 0.02), np.full(models, assumed))
    success = rng.uniform(0.1, 0.9, mean.shape)
    return HeldOutCalls(tuple("abcdefgh"[:models]), success, estimate, cost, np.zeros(rows))


FIRST = np.zeros(400, dtype=int)


def test_costs_that_are_underestimated_are_found_out() -> None:
    ratio = spend_ratio(held_out(bias=1.3, seed=1), FIRST, 500)
    assert ratio is not None
    assert ratio.expected == pytest.approx(1.3, abs=0.08)
    assert 1.3 < ratio.upper(0.95) < 1.5
    assert ratio.probability_above(1.0) > 0.99
    assert ratio.calls == 400


def test_a_large_batch_is_still_uncertain_by_the_finitely_many_held_out_calls() -> None:
    spread = []
    for size in (20, 200, 2_000, 2_000_000):
        ratio = spend_ratio(held_out(), FIRST, size)
        assert ratio is not None
        spread.append(ratio.upper(0.95) - ratio.expected)
    assert spread[0] > spread[1] > spread[2] > 0.5 * spread[3]
    per_call = 1.645 * 0.53 / math.sqrt(400)
    assert spread[3] == pytest.approx(per_call, rel=0.25)


def test_the_same_calls_give_the_same_ratio() -> None:
    first, second = (spend_ratio(held_out(), FIRST, 50, seed=3) for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.draws, second.draws)


@pytest.mark.parametrize("known", [0, LEAST_CALLS - 1])
def test_too_few_recorded_costs_say_nothing(known: int) -> None:
    calls = held_out()
    calls.cost[known:] = np.nan
    assert spend_ratio(calls, FIRST, 50) is None
    calls.cost[:, 1:] = 1.0  # of other models than the chosen one
    assert spend_ratio(calls, FIRST, 50) is None


def test_a_model_without_recorded_costs_stays_as_uncertain_as_the_cost_model_says() -> None:
    half = np.arange(400) % 2
    known = spend_ratio(held_out(), half, 50)
    blank, unsure = held_out(), held_out()
    blank.cost[:, 1] = np.nan
    unsure = replace(blank, estimate=replace(blank.estimate, shared_error=np.array([0.02, 1.0, 0.02])))
    assumed = replace(blank, estimate=replace(blank.estimate, assumed_error=np.array([0.0, 3.0, 0.0])))
    uppers = [ratio.upper(0.95) for calls in (blank, unsure, assumed) if (ratio := spend_ratio(calls, half, 50))]
    assert known is not None
    assert len(uppers) == 3
    assert uppers[0] > 1.05
    assert min(uppers[1:]) > uppers[0] + 0.3


def test_free_calls_cost_what_was_estimated() -> None:
    calls = held_out()
    free = replace(calls, cost=0 * calls.cost, estimate=replace(calls.estimate, mean=0 * calls.estimate.mean))
    ratio = spend_ratio(free, FIRST, 50)
    assert ratio is not None
    assert ratio.upper(0.99) == 1.0


def test_the_quantile_counts_the_batch_as_one_more_draw() -> None:
    ratio = SpendRatio(1.0, np.arange(1.0, 20.0), 19)
    assert ratio.upper(0.95) == 19.0
    assert ratio.upper(0.9) == 18.0
    assert ratio.probability_above(18.0) == pytest.approx(1 / 19)


def test_the_share_is_that_of_the_smaller_budget() -> None:
    """Less money moves traffic to a model whose costs are less well known."""

    def ratio_at(share: float) -> SpendRatio:
        return SpendRatio(1.0, np.full(19, 1.1 if share > 0.95 else 1.5), 19)

    found = calibrated_share(ratio_at, 0.95)
    assert found is not None
    assert found[0] == pytest.approx(1 / 1.5)
    assert calibrated_share(lambda share: None, 0.95) is None


def test_overestimated_costs_allow_no_more_than_the_budget() -> None:
    found = calibrated_share(lambda share: SpendRatio(0.5, np.full(19, 0.6), 19), 0.95)
    assert found is not None
    assert found[0] == 1.0


@given(
    n=st.integers(1, 40),
    m=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    place=st.floats(0.0, 1.5),
)
def test_a_corresponding_budget_lies_as_far_between_cheapest_and_dearest(
    n: int, m: int, seed: int, place: float
) -> None:
    rng = np.random.default_rng(seed)
    batch, other = rng.uniform(0.1, 5, (n, 3)) * [1, 3, 9], rng.uniform(0.1, 5, (m, 3)) * [1, 3, 9]

    def at(cost: np.ndarray) -> float:
        least, most = cost.min(axis=1).sum(), cost.sum(axis=0).max()
        return float(least + place * (most - least))

    money = corresponding_budget(at(batch), batch, other)
    assert money == pytest.approx(at(other))
    allocate(AllocationProblem(np.full(other.shape, 0.5), other, money))
    assert corresponding_budget(math.inf, batch, other) == math.inf


def decide(success: np.ndarray, cost: np.ndarray, budget: float) -> np.ndarray:
    choice: np.ndarray = allocate(AllocationProblem(success, cost, budget)).choice
    return choice


def batch_is_kept(seed: int, *, calibrated: bool) -> bool:
    """Whether 600 instructions keep their budget where an optimiser picks among ten cheap and ten dear models, alike
    but for the errors of their estimated levels, which come from 40 calls each.
    """
    rng, true = np.random.default_rng(seed), np.repeat([1.0, 3.0], 10)

    def costs(rows: int) -> np.ndarray:
        return true * np.exp(rng.normal(0, 0.7, (rows, 20)) - 0.245)

    train = costs(40)
    level, spread = train.mean(axis=0), train.std(axis=0)
    held, batch = (CostEstimate(np.tile(level, (n, 1)), np.tile(spread, (n, 1)), spread / 40**0.5) for n in (300, 600))
    success, held_success = (rng.uniform(0.4, 0.6, (n, 20)) + 0.1 * (true > 1) for n in (600, 300))
    calls = HeldOutCalls(tuple(map(str, range(20))), held_success, held, costs(300), np.zeros(300))
    budget = 600 * 2.0

    def ratio_at(share: float) -> SpendRatio | None:
        money = corresponding_budget(share * budget, batch.mean, held.mean)
        return spend_ratio(calls, decide(held_success, held.mean, money), 600)

    if calibrated:
        found = calibrated_share(ratio_at, 0.95)
        assert found is not None
        share = found[0]
    else:
        forecast = batch.forecast(decide(success, batch.mean, budget))
        share = 1 / (1 + NormalDist().inv_cdf(0.95) * forecast.std / forecast.mean)
    choice = decide(success, batch.mean, budget * share)
    return bool(costs(600)[np.arange(600), choice].sum() <= budget)


@pytest.mark.slow
def test_a_budget_is_kept_although_an_optimiser_picks_what_is_underestimated() -> None:
    assert np.mean([batch_is_kept(seed, calibrated=False) for seed in range(60)]) < 0.9
    assert np.mean([batch_is_kept(seed, calibrated=True) for seed in range(60)]) > 0.9
