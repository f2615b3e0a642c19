from __future__ import annotations

from fractions import Fraction

import pytest
from worlds import END, START, at, equal_problem, past, state

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import read_values
from routing_assets.pacing import PacingState, PeriodBudget


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget_usd": -1.0},
        {"budget_usd": float("nan")},
        {"budget_usd": float("inf")},
        {"budget_usd": 10.0, "hard_cap_usd": 9.0},
        {"budget_usd": 10.0, "reserve": 1.5},
        {"budget_usd": 10.0, "carry_over": -0.1},
        {"budget_usd": 10.0, "urgent_worth": 0.5},
        {"budget_usd": 10.0, "expected_instructions": -1.0},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(wrong: dict) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_values(PeriodBudget, wrong, source="policy.yaml")
    assert caught.value.remedy


def test_a_period_must_end_after_its_start() -> None:
    with pytest.raises(InvalidInput):
        PacingState(END, START)


def test_sums_of_money_are_exact() -> None:
    ten_cents = [past(equal_problem(), 1, 0.1) for _ in range(10)]
    assert state(*ten_cents).committed() == 10 * Fraction(0.1)


def test_only_this_periods_batches_spend_its_money() -> None:
    batches = (past(equal_problem(), -1, 5.0), past(equal_problem(), 1, 2.0), past(equal_problem(), 30, 3.0))
    assert state(*batches).committed() == 2


def test_the_reserve_shrinks_with_urgent_spending_and_with_time() -> None:
    plan = PeriodBudget(100.0, reserve=0.2)
    assert state().held_for_urgent(plan, START) == pytest.approx(20)
    assert state().held_for_urgent(plan, at(15)) == pytest.approx(10)
    assert state(past(equal_problem(), 1, 15.0, urgent=True)).held_for_urgent(plan, at(15)) == pytest.approx(2.5)
    assert state(past(equal_problem(), 1, 50.0, urgent=True)).held_for_urgent(plan, at(15)) == 0


def test_money_carried_over_stays_under_the_cap() -> None:
    plan = PeriodBudget(100.0, hard_cap_usd=120.0, carry_over=0.5)
    assert plan.money(30.0) == plan.cap(30.0) == 120
    assert PeriodBudget(100.0).money(30.0) == PeriodBudget(100.0).cap(30.0) == 130
