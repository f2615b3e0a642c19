from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.allocation import (
    ArrayPart,
    InfeasibleBudget,
    PartedProblem,
    second_look,
    second_look_by_sweeps,
)
from routing_assets.allocation.second_look import decide_second_round, plan_first_round
from routing_assets.allocation.second_look_by_sweeps import plan_first_round_by_parts
from routing_assets.foundation.errors import InvalidInput


def batch(seed, n=6):
    rng = np.random.default_rng(seed)
    cost = np.array([0.1, 0.5, 1.0]) * rng.uniform(0.5, 1.5, (n, 3))
    return rng.random((n, 3)), cost, rng


def worthless(price):
    return np.zeros((6, 1)), np.full((6, 1), 0.1)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.2, 1.2))
def test_a_plan_keeps_the_budget_and_is_never_worse_than_one_call(seed, share):
    success, cost, rng = batch(seed)
    value, usage = rng.random((6, 2)), cost[:, [0, 1]] * 1.5
    budget = share * cost[:, 2].sum()
    once = plan_first_round(success, cost, budget, worthless, np.array([0]))
    assert not once.looked_at.any()
    plan = plan_first_round(success, cost, budget, lambda price: (value, usage), np.array([0, 1]))
    assert plan.expected_success >= once.expected_success - 1e-9
    columns = np.where(plan.looked_at, np.where(plan.choice == 0, 3, 4), plan.choice)
    assert np.hstack([cost, usage])[np.arange(6), columns].sum() <= budget + 1e-9
    assert plan.planned_cost <= budget + 1e-9
    assert (plan.choice[plan.looked_at] < 2).all()


def test_a_look_that_is_worth_its_money_is_planned_and_told_the_price():
    success, cost = np.tile([0.3, 0.8], (10, 1)), np.tile([0.1, 1.0], (10, 1))
    prices = []

    def looks(price):
        prices.append(price)
        return np.full((10, 1), 0.75), np.full((10, 1), 0.4)

    plan = plan_first_round(success, cost, 4.01, looks, np.array([0]))
    assert plan.looked_at.all()
    assert (plan.choice == 0).all()
    assert plan.expected_success == pytest.approx(0.75)
    assert prices[0] == pytest.approx(0.5 / 0.9)  # what a dollar buys when each instruction is asked once


def test_an_instruction_that_may_not_go_everywhere_is_not_looked_at_by_plan():
    success, cost = np.tile([0.3, 0.8], (10, 1)), np.tile([0.1, 1.0], (10, 1))
    forbidden = np.zeros((10, 2), dtype=bool)
    forbidden[:5, 1] = True
    plan = plan_first_round(
        success, cost, 2.6, lambda price: (np.full((10, 1), 0.75), np.full((10, 1), 0.4)), np.array([0]),
        forbidden=forbidden,
    )  # fmt: skip
    assert not plan.looked_at[:5].any()
    assert plan.looked_at[5:].all()


class CountedLooks:
    """A look costs half of the second call; its value falls as money gets dearer."""

    def __init__(self, success, cost, asked):
        self.success, self.cost, self.asked = success, cost, asked

    def __call__(self, price):
        self.asked.append(len(self.success))
        better = np.maximum(self.success[:, :1], self.success[:, 2:] - 0.01 * price)
        return better, self.cost[:, :1] + 0.5 * self.cost[:, 2:]

    def at(self, rows):
        return CountedLooks(self.success[rows], self.cost[rows], self.asked)

    def calls(self, price):
        raise AssertionError("calls are asked for only under constraints")


def test_the_price_of_a_large_batch_is_found_on_a_sample(monkeypatch):
    success, cost, _ = batch(1, n=2000)
    asked, budget = [], 0.4 * float(cost[:, 2].sum())
    whole = plan_first_round(success, cost, budget, CountedLooks(success, cost, []), np.array([0]))
    monkeypatch.setattr(second_look, "SAMPLE", 300)
    plan = plan_first_round(success, cost, budget, CountedLooks(success, cost, asked), np.array([0]))
    assert asked.count(2000) == 1
    assert set(asked) == {300, 2000}
    assert plan.planned_cost <= budget
    assert plan.expected_success == pytest.approx(whole.expected_success, rel=0.01)
    with pytest.raises(InfeasibleBudget):
        plan_first_round(success, cost, 1.0, CountedLooks(success, cost, []), np.array([0]))


def test_a_budget_that_does_not_pay_for_one_call_each_is_refused():
    success, cost, _ = batch(0)
    with pytest.raises(InfeasibleBudget):
        plan_first_round(success, cost, 0.01, worthless, np.array([0]))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(-0.5, 2.0))
def test_the_second_round_is_the_best_of_all_within_what_is_left(seed, left):
    success, cost, rng = batch(seed, n=4)
    first = rng.integers(0, 3, 4)
    decided = decide_second_round(success, cost, first, left)
    rows = np.arange(4)
    spent = np.where(decided.choice != first, cost[rows, decided.choice], 0.0).sum()
    assert spent <= max(0.0, left) + 1e-12
    best = max(
        success[rows, list(choice)].sum()
        for choice in product(range(3), repeat=4)
        if np.where(np.array(choice) != first, cost[rows, list(choice)], 0.0).sum() <= max(0.0, left)
    )
    assert success[rows, decided.choice].sum() == pytest.approx(best, abs=1e-5)


def test_a_kept_answer_needs_no_permission():
    """The first call may have been forbidden since; its answer is there and costs nothing."""
    forbidden = np.array([[True, False], [True, True]])
    success, cost = np.array([[0.9, 0.1], [0.2, 0.9]]), np.ones((2, 2))
    decided = decide_second_round(success, cost, np.array([0, 0]), 5.0, forbidden=forbidden)
    assert decided.choice.tolist() == [0, 0]


@pytest.mark.parametrize("cuts", [[], [137, 600], list(range(100, 2000, 100))])
def test_a_batch_in_parts_is_planned_as_in_memory(cuts, monkeypatch):
    success, cost, rng = batch(1, n=2000)
    monkeypatch.setattr(second_look, "SAMPLE", 300)
    monkeypatch.setattr(second_look_by_sweeps, "SAMPLE", 300)
    allowed, budget, first = rng.random((2000, 3)) < 0.9, 0.4 * float(cost[:, 2].sum()), np.array([0])
    allowed[:, 1] = True
    whole = plan_first_round(success, cost, budget, CountedLooks(success, cost, []), first, forbidden=~allowed)
    rows = np.split(np.arange(2000), cuts)
    plan = plan_first_round_by_parts(
        PartedProblem([ArrayPart(success[own], cost[own], allowed[own]) for own in rows], budget),
        [CountedLooks(success[own], cost[own], []) for own in rows],
        first,
    )
    assert (plan.choice == whole.choice).all()
    assert (plan.looked_at == whole.looked_at).all()
    assert plan.looked_at.any()
    assert plan.allocation.total_cost == whole.planned_cost <= budget


def test_parts_under_constraints_are_refused_with_how_many_instructions_fit():
    success, cost, _ = batch(1, n=10)
    problem = PartedProblem([ArrayPart(success, cost)], 9.0, ("a", "b", "c"), {"capacity": {"a": 3}})
    with pytest.raises(InvalidInput, match="capacity need the batch in memory: at most 2000 instructions fit"):
        plan_first_round_by_parts(
            problem, [CountedLooks(success, cost, [])], np.array([0]), memory_bytes=2_000 * 250 * 4
        )
