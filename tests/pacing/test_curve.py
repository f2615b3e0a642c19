from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import random_problem

from routing_assets.allocation import allocate
from routing_assets.pacing import SpendCurve, spend_curve


@given(st.integers(0, 10_000), st.floats(0, 60))
def test_at_a_price_the_curve_spends_what_each_instruction_would(seed: int, price: float) -> None:
    problem = random_problem(seed)
    worth = problem.success - price * problem.cost_matrix
    ties = np.isclose(worth, worth.max(axis=1, keepdims=True), rtol=0, atol=1e-12).sum(axis=1)
    choice = worth.argmax(axis=1)
    if (ties == 1).all():
        expected = problem.chosen(problem.cost_matrix, choice).sum()
        assert spend_curve(problem).spend(price) == pytest.approx(expected)


def test_thinning_keeps_the_total_the_order_and_nearly_the_spend() -> None:
    curve = spend_curve(random_problem(1, n=2000))
    thin = curve.thinned(64)
    assert len(thin.usd) <= 64
    assert thin.usd.sum() == pytest.approx(curve.usd.sum())
    assert thin.usd @ thin.price == pytest.approx(curve.usd @ curve.price)
    assert (np.diff(thin.price) <= 0).all()
    for price in np.quantile(curve.price, [0.1, 0.5, 0.9]):
        assert thin.spend(price) == pytest.approx(curve.spend(price), rel=0.04)


def test_a_short_curve_is_not_thinned_and_json_keeps_it() -> None:
    curve = spend_curve(random_problem(2, n=5))
    assert curve.thinned() is curve
    again = SpendCurve.from_dict(json.loads(json.dumps(curve.to_dict())))
    assert again.to_dict() == curve.to_dict()


def test_side_constraints_play_no_part_but_barred_pairs_do() -> None:
    problem = random_problem(3)
    constrained = replace(problem, max_share=[0.2, 1, 1])
    assert spend_curve(constrained).to_dict() == spend_curve(problem).to_dict()
    barred = replace(problem, forbidden=np.tile([True, False, False], (20, 1)))
    assert spend_curve(barred).least_usd == pytest.approx(problem.cost_matrix[:, 1].sum())
    assert allocate(replace(barred, budget=spend_curve(barred).least_usd)).total_cost <= spend_curve(barred).least_usd
