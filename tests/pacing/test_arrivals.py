from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from worlds import END, START, at

from routing_assets.pacing import Arrival, forecast


def daily(days: int, per_day: float, hour: float = 0.5, weekend: float = 1.0) -> list[Arrival]:
    before = [at(-d + hour) for d in range(1, days + 1)]
    return [Arrival(when, per_day * (weekend if when.weekday() >= 5 else 1.0)) for when in before]


def test_steady_work_goes_on() -> None:
    assert forecast(daily(28, 100), START, END).instructions == pytest.approx(30 * 100, rel=0.02)


def test_weekends_are_learnt_and_a_single_odd_day_is_not_a_season() -> None:
    weeks = daily(56, 100, weekend=0.1)
    saturday_and_sunday = forecast(weeks, at(5), at(7)).instructions
    assert saturday_and_sunday < 60
    assert forecast(weeks, at(0), at(5)).instructions > 440
    odd = [*daily(6, 100), Arrival(at(-7 + 0.5), 1000)]
    monday = forecast(odd, at(7), at(8)).instructions
    assert monday < 700


def test_a_trend_is_followed() -> None:
    growing = [Arrival(at(-d + 0.5), 200 - 2.0 * d) for d in range(1, 91)]
    mean = np.mean([arrival.instructions for arrival in growing])
    assert forecast(growing, START, END).instructions > 30 * mean * 1.2


def test_the_rest_of_today_follows_the_hours_of_before() -> None:
    nightly = [Arrival(at(day + 0.9), 100) for day in range(29)]
    before, after = (forecast(nightly, at(29.0 + hour), END).instructions for hour in (0.8, 0.95))
    assert before > 70
    assert after < 25
    # today's batch has come; the forecast for the last hours is nearly nothing, not another day
    assert forecast([*nightly, Arrival(at(29.9), 100)], at(29.9), END).instructions < 25


def test_a_prior_counts_until_there_is_history() -> None:
    first = [Arrival(at(0.5), 30)]
    with_prior = forecast(first, at(0.5), END, prior_per_day=1000).instructions
    assert 20_000 < with_prior < 30_000
    long = forecast(daily(84, 100), START, END, prior_per_day=1000).instructions
    assert long < 0.5 * with_prior


def test_the_period_ends_and_nothing_comes_after() -> None:
    assert forecast(daily(28, 100), END, END) == forecast(daily(28, 100), END, END - timedelta(days=3))
    assert forecast(daily(28, 100), END, END).instructions == 0


def test_the_standard_error_covers_poisson_work() -> None:
    rng, outside = np.random.default_rng(0), 0
    for _ in range(200):
        count = rng.poisson(3, 60)
        arrivals = [Arrival(at(day - 30 + h), s) for day in range(60) for h, s in _batches(rng, count[day])]
        expected = forecast([a for a in arrivals if a.at <= START], START, END)
        came = sum(a.instructions for a in arrivals if a.at > START)
        outside += abs(came - expected.instructions) > 2 * expected.std
    assert 2 <= outside <= 25  # 5 % of 200 would be 10


def _batches(rng: np.random.Generator, n: int) -> list[tuple[float, float]]:
    return [(float(rng.random()), float(rng.lognormal(4, 0.8))) for _ in range(n)]
