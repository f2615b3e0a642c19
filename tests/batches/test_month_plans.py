"""The money of past months is what it was planned to be then, whatever the policy file says today."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.allocation import AllocationProblem
from routing_assets.audit.daily_report import day_report
from routing_assets.batches.ledger import record_decision
from routing_assets.batches.money import commit_budget, commit_cost, month_state, release_commitments
from routing_assets.batches.policy import RoutingSettings
from routing_assets.home import Home
from routing_assets.pacing import PastBatch, PeriodBudget, PeriodExhausted, SpendCurve
from routing_assets.storage.warehouse import Warehouse

PROBLEM = AllocationProblem(np.full((4, 2), 0.5), np.array([0.01, 0.05]), np.inf)
NO_CURVE = SpendCurve(1.0, 0.0, np.zeros(0), np.zeros(0))


@pytest.fixture
def warehouse(home: Home) -> Warehouse:
    warehouse = home.create().warehouse
    warehouse.create()
    return warehouse


def at(month: int, day: int = 3) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


def commit(warehouse: Warehouse, usd: float, when: datetime, batch: str | None = None, **period: float) -> float:
    """What a batch that asks for ``usd`` is given."""
    name = batch or f"{when:%m-%d}"
    return commit_budget(
        warehouse, name, f"run of {name}", PROBLEM, RoutingSettings(budget_usd=usd, period=period), when
    ).budget_usd


def all_of(warehouse: Warehouse, when: datetime, **period: float) -> float:
    """All that the month has left."""
    return commit(warehouse, 1e6, when, "asks for all", **period)


def test_a_raised_budget_does_not_revalue_the_months_before(warehouse: Warehouse) -> None:
    for month in range(1, 11):
        assert commit(warehouse, 100.0, at(month), budget_usd=100.0, carry_over=1.0) == 100.0
    assert all_of(warehouse, at(11), budget_usd=1000.0, carry_over=1.0) == 1000.0


def test_a_lowered_budget_leaves_what_the_months_before_did_not_spend(warehouse: Warehouse) -> None:
    for month in (1, 2):
        commit(warehouse, 60.0, at(month), budget_usd=100.0, carry_over=1.0)
    assert all_of(warehouse, at(3), budget_usd=10.0, carry_over=1.0) == 90.0


@pytest.mark.parametrize(("last", "carried"), [(1000.0, 950.0), (70.0, 20.0), (20.0, 0.0)])
def test_a_month_is_valued_by_the_last_plan_recorded_in_it(warehouse: Warehouse, last: float, carried: float) -> None:
    commit(warehouse, 50.0, at(3), budget_usd=100.0, carry_over=1.0)
    if last > 50.0:
        commit(warehouse, 0.04, at(3, 9), budget_usd=last, carry_over=1.0)
        warehouse.append("withdrawals", pa.table({"batch_id": ["03-09"]}))
    else:  # a plan holds although it has nothing left for the batch
        with pytest.raises(PeriodExhausted):
            commit(warehouse, 0.04, at(3, 9), budget_usd=last, carry_over=1.0)
    assert all_of(warehouse, at(4), budget_usd=1.0, carry_over=1.0) == 1.0 + carried


@pytest.mark.parametrize(("later", "left"), [(1000.0, 1000.0 + 99.0 + 3 * 100.0), (10.0, 10.0 + 99.0 + 3 * 10.0)])
def test_a_month_in_which_nothing_was_asked_for_is_worth_the_lesser_of_the_plans_around_it(
    warehouse: Warehouse, later: float, left: float
) -> None:
    commit(warehouse, 1.0, at(6), budget_usd=100.0, carry_over=1.0)
    assert all_of(warehouse, at(10), budget_usd=later, carry_over=1.0) == left


def test_the_reason_names_months_without_a_recorded_plan(warehouse: Warehouse) -> None:
    commit(warehouse, 1.0, at(6), budget_usd=100.0, carry_over=1.0)
    paced = RoutingSettings(period={"budget_usd": 100.0, "carry_over": 1.0})
    assert "No plan was recorded in 2026-07, 2026-08" in commit_budget(warehouse, "b", "r", PROBLEM, paced, at(9)).why
    assert "No plan was recorded" not in commit_budget(warehouse, "c", "s", PROBLEM, paced, at(6, 5)).why


def test_a_period_that_is_added_later_carries_nothing_from_before_it(warehouse: Warehouse) -> None:
    commit_budget(warehouse, "own", "r", PROBLEM, RoutingSettings(budget_usd=5.0), at(1))
    decide(warehouse, "own", "r", None, at(1))
    assert all_of(warehouse, at(6), budget_usd=10.0, carry_over=1.0) == 10.0


def test_months_without_a_period_between_two_with_one_hand_nothing_on(warehouse: Warehouse) -> None:
    commit(warehouse, 1.0, at(3), budget_usd=10.0, carry_over=1.0)
    decide(warehouse, "own", "r", None, at(4))
    assert all_of(warehouse, at(5), budget_usd=10.0, carry_over=1.0) == 10.0


def test_money_that_a_withdrawal_frees_in_a_past_month_is_carried_over(warehouse: Warehouse) -> None:
    commit(warehouse, 80.0, at(10), budget_usd=100.0, carry_over=0.5)
    assert all_of(warehouse, at(11), budget_usd=1000.0, carry_over=0.5) == 1010.0
    warehouse.append("withdrawals", pa.table({"batch_id": ["10-03"]}))
    assert all_of(warehouse, at(11), budget_usd=1000.0, carry_over=0.5) == 1050.0


def test_the_runs_of_a_batch_that_overlap_the_months_are_paid_by_the_month_that_each_began_in(
    warehouse: Warehouse,
) -> None:
    late = datetime(2026, 10, 31, 23, tzinfo=UTC)
    commit(warehouse, 90.0, late, "late", budget_usd=100.0, carry_over=1.0)
    assert commit(warehouse, 1e6, at(11, 1), "new", budget_usd=1000.0, carry_over=1.0) == 1010.0
    month = {"budget_usd": 100.0, "carry_over": 1.0}
    commit_cost(warehouse, "late", ["run of late"], 85.0, RoutingSettings(period=month), at(11, 1))
    assert all_of(warehouse, at(11, 2), budget_usd=1000.0, carry_over=1.0) == pytest.approx(5.0)


def test_a_cost_that_takes_from_the_month_again_follows_the_plan_of_the_month(warehouse: Warehouse) -> None:
    """The policy was lowered while the run was under way: its own settings are of the plan before."""
    commit(warehouse, 90.0, at(11), "lost", budget_usd=100.0)
    release_commitments(warehouse, ["run of lost"])
    commit(warehouse, 15.0, at(11, 4), "other", budget_usd=20.0)
    with pytest.raises(Exception, match="the period has 5 USD left"):
        commit_cost(warehouse, "lost", ["run of lost"], 80.0, RoutingSettings(period={"budget_usd": 100.0}), at(11, 5))


def test_a_plan_is_recorded_once_for_a_month_and_whenever_it_changes(warehouse: Warehouse) -> None:
    for day, usd in enumerate((100.0, 100.0, 50.0, 100.0), start=1):
        commit(warehouse, 0.04, at(3, day), budget_usd=usd)
    commit(warehouse, 0.04, at(4), budget_usd=100.0)
    with warehouse.reader() as connection:
        lines = connection.execute("select month, plan::varchar from month_plans order by entry").fetchall()
    assert [(month, json.loads(plan)["budget_usd"]) for month, plan in lines] == [
        ("2026-03", 100.0),
        ("2026-03", 50.0),
        ("2026-03", 100.0),
        ("2026-04", 100.0),
    ]


def decide(warehouse: Warehouse, batch: str, run: str, period: dict[str, float] | None, when: datetime) -> None:
    """A decision as earlier versions recorded it, which kept the plan in its settings alone."""
    words = ("file_sha256", "router_version", "price_version", "policy", "settings_version", "status", "routed_path")
    amounts = ("budget", "expected_success", "total_cost", "upper_bound", "gap", "shadow_price")
    decision = dict.fromkeys((*words, "routed_sha256"), "x") | dict.fromkeys(amounts, 1.0)
    decision |= {"settings": json.dumps({"period": period}), "instructions": 4}
    with warehouse.transaction() as connection:
        record_decision(connection, decision | {"batch_id": batch, "dagster_run_id": run})
        connection.execute("update decisions set decided_at = ? where dagster_run_id = ?", [when, run])


def test_a_home_from_before_there_were_plans_values_its_months_by_their_decisions(warehouse: Warehouse) -> None:
    old = {"budget_usd": 100.0, "carry_over": 1.0}
    for month in range(1, 11):
        commit(warehouse, 100.0, at(month), **old)
        decide(warehouse, f"{at(month):%m-%d}", f"run of {at(month):%m-%d}", old, at(month))
    with warehouse.transaction() as connection:
        connection.execute("delete from month_plans")
    assert all_of(warehouse, at(11), budget_usd=1000.0, carry_over=1.0) == 1000.0


def test_the_report_of_a_past_day_reads_the_plan_of_its_month(home: Home, warehouse: Warehouse) -> None:
    commit(warehouse, 60.0, at(9), budget_usd=100.0, carry_over=0.5)
    commit(warehouse, 10.0, at(10), budget_usd=100.0, carry_over=0.5)
    home.policy_file.write_text("period: {budget_usd: 5000}\n")
    (october,) = day_report(home.warehouse, home.folders, home.policy_file, date(2026, 10, 20), [])["budget"]
    assert (october["planned USD"], october["carried over USD"], october["left USD"]) == (120.0, 20.0, 110.0)
    assert october["planned by"] == "the plan recorded"
    home.policy_file.unlink()
    assert day_report(home.warehouse, home.folders, home.policy_file, date(2026, 10, 20), [])["budget"] == [october]
    (before,) = day_report(home.warehouse, home.folders, home.policy_file, date(2026, 9, 2), [])["budget"] or [None]
    assert before is None


amounts = st.floats(0.0, 1e6, allow_subnormal=False)
fractions = st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 0.7, 1.0])


@given(st.lists(st.tuples(amounts, amounts, fractions), min_size=1, max_size=8))
def test_no_rounding_hands_on_more_than_was_left(months: list[tuple[float, float, float]]) -> None:
    """Against the same sums in fractions, which are exact."""
    plans = {f"2026-{m:02d}": PeriodBudget(usd, carry_over=over) for m, (usd, _, over) in enumerate(months, start=1)}
    past = [PastBatch(at(m), spent, NO_CURVE) for m, (_, spent, _) in enumerate(months, start=1)]
    exact = Fraction(0)
    for usd, spent, over in months:
        exact = max(Fraction(0), Fraction(over) * (Fraction(usd) + exact - Fraction(spent)))
    carried = month_state(PeriodBudget(1e9), past, at(len(months) + 1), plans).carried_usd
    assert Fraction(carried) <= exact
    assert carried == pytest.approx(float(exact), rel=1e-12, abs=1e-6)
