"""A month's money over its batches: never exceeded, and replaced by what a batch really costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.batches.ledger import record_decision
from routing_assets.batches.money import (
    commit_budget,
    commit_cost,
    month_state,
    release_commitments,
    standing,
    undecided_runs,
    waiting_instructions,
)
from routing_assets.batches.policy import RoutingSettings, settings_from
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pacing import PastBatch, PeriodBudget, PeriodExhausted, spend_curve
from routing_assets.storage.warehouse import Warehouse

START = datetime(2026, 3, 1, tzinfo=UTC)
LATE = datetime(2026, 3, 31, 23, tzinfo=UTC)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    warehouse.create()
    return warehouse


def problem(seed: int = 0, n: int = 40) -> AllocationProblem:
    random = np.random.default_rng(seed)
    success = np.sort(random.uniform(0.2, 0.95, (n, 3)), axis=1)
    return AllocationProblem(success, np.array([0.01, 0.05, 0.2]), np.inf)


def test_without_a_period_a_batch_has_its_own_budget(warehouse: Warehouse) -> None:
    assert commit_budget(warehouse, "a", "r", problem(), RoutingSettings(budget_usd=3.0)).budget_usd == 3.0
    half = commit_budget(warehouse, "a", "r", problem(), RoutingSettings()).budget_usd
    assert half == pytest.approx(0.5 * 40 * 0.2)


@pytest.mark.slow
def test_a_month_of_batches_never_exceeds_its_money(warehouse: Warehouse) -> None:
    settings = RoutingSettings(period={"budget_usd": 30.0})
    spent = 0.0
    for day in range(60):
        at = START + timedelta(hours=12 * day)
        try:
            budget = commit_budget(warehouse, f"b{day}", f"r{day}", problem(day), settings, at)
        except PeriodExhausted:
            break
        spent += budget.budget_usd
    assert 0 < spent <= 30.0


def test_a_batch_routed_again_replaces_its_own_commitment(warehouse: Warehouse) -> None:
    settings = RoutingSettings(period={"budget_usd": 8.0})
    for run in range(5):
        commit_budget(warehouse, "same", f"r{run}", problem(), settings, START + timedelta(hours=run))
    with warehouse.reader() as connection:
        assert len(standing(connection)) == 1


def committed(warehouse: Warehouse) -> dict[str, float]:
    with warehouse.reader() as connection:
        return {name: past.usd for name, past in standing(connection)}


def test_money_that_a_failed_run_committed_is_free_again(warehouse: Warehouse) -> None:
    settings = RoutingSettings(period={"budget_usd": 8.0})
    for batch, run in (("a", "failed"), ("b", "fine")):
        commit_budget(warehouse, batch, run, problem(), settings, START)
    before = committed(warehouse)
    release_commitments(warehouse, ["failed", "unknown"])
    assert min(before.values()) > 0
    assert committed(warehouse) == before | {"a": 0.0}
    assert undecided_runs(warehouse) == ["fine"]


def test_a_retry_holds_its_own_money_when_that_of_the_run_before_is_freed(warehouse: Warehouse) -> None:
    for run in ("failed", "retry"):
        commit_budget(warehouse, "a", run, problem(), RoutingSettings(period={"budget_usd": 8.0}), START)
    before = committed(warehouse)
    release_commitments(warehouse, ["failed"])
    assert committed(warehouse) == before != {"a": 0.0}


def decide(warehouse: Warehouse, batch: str, run: str, usd: float) -> None:
    """As the export does: the cost replaces the budget, then the decision is entered."""
    commit_cost(warehouse, batch, [run], usd, RoutingSettings(period={"budget_usd": 8.0}))
    words = ("file_sha256", "router_version", "price_version", "policy", "settings_version", "status", "routed_path")
    amounts = ("budget", "expected_success", "total_cost", "upper_bound", "gap", "shadow_price")
    decision = dict.fromkeys((*words, "routed_sha256"), "x") | dict.fromkeys(amounts, usd)
    decision |= {"batch_id": batch, "dagster_run_id": run, "settings": "{}", "instructions": 40}
    with warehouse.transaction() as connection:
        record_decision(connection, decision)


def test_two_runs_of_one_batch_at_once_hold_the_greater_of_both(warehouse: Warehouse) -> None:
    month = {"budget_usd": 8.0}
    for run, usd in (("small", 3.0), ("great", 7.0)):
        commit_budget(warehouse, "a", run, problem(), RoutingSettings(budget_usd=usd, period=month), START)
    decide(warehouse, "a", "small", 2.5)
    assert committed(warehouse) == {"a": 7.0}
    other = commit_budget(warehouse, "b", "r", problem(1), RoutingSettings(budget_usd=8.0, period=month), START)
    assert other.budget_usd == pytest.approx(1.0)
    decide(warehouse, "a", "great", 6.9)
    assert sum(committed(warehouse).values()) <= 8.0


def test_the_cost_of_a_batch_counts_to_the_month_that_paid_its_budget(warehouse: Warehouse) -> None:
    month, midnight = {"budget_usd": 8.0}, datetime(2026, 4, 1, tzinfo=UTC)
    commit_budget(warehouse, "late", "r", problem(), RoutingSettings(budget_usd=6.0, period=month), LATE)
    settings = RoutingSettings(budget_usd=8.0, period=month)
    assert commit_budget(warehouse, "new", "n", problem(1), settings, midnight).budget_usd == 8.0
    decide(warehouse, "late", "r", 5.9)
    with warehouse.reader() as connection:
        past = [batch for _, batch in standing(connection)]
    assert month_state(PeriodBudget(8.0), past, midnight).committed() == 8.0
    assert month_state(PeriodBudget(8.0), past, LATE).committed() == pytest.approx(5.9)


PACED = RoutingSettings(period={"budget_usd": 8.0})


def test_a_run_that_goes_on_from_a_failure_commits_what_its_decision_costs(warehouse: Warehouse) -> None:
    commit_budget(warehouse, "a", "failed", problem(), PACED)
    commit_cost(warehouse, "a", ["resumed", "failed"], 0.3, PACED)
    release_commitments(warehouse, ["failed"])
    assert committed(warehouse) == {"a": 0.3}


@pytest.mark.parametrize("runs", [["resumed", "failed"], ["makes the export alone"]])
def test_a_run_without_money_of_its_own_takes_what_the_month_has_left_and_no_more(
    runs: list[str], warehouse: Warehouse
) -> None:
    settings = replace(PACED, budget_usd=5.0)
    for batch, run in (("a", "failed"), ("b", "r")):
        commit_budget(warehouse, batch, run, problem(), settings, START)
        release_commitments(warehouse, ["failed"])
    with pytest.raises(
        InvalidInput, match=r"costs 3.1 USD, but its run no longer holds money, .* 3 USD left\. Route it from"
    ):
        commit_cost(warehouse, "a", runs, 3.1, PACED, START)
    commit_cost(warehouse, "a", runs, 2.9, PACED, START)
    assert committed(warehouse) == {"a": 2.9, "b": 5.0}
    with pytest.raises(InvalidInput, match="no budget was made for batch 'other'"):
        commit_cost(warehouse, "other", runs, 0.1, PACED, START)


def test_money_that_a_resumed_run_takes_again_does_not_use_the_reserve(warehouse: Warehouse) -> None:
    month = {"budget_usd": 8.0, "reserve": 0.5}
    commit_budget(warehouse, "a", "failed", problem(), RoutingSettings(budget_usd=3.0, period=month), START)
    release_commitments(warehouse, ["failed"])
    with pytest.raises(InvalidInput, match="has 4 USD left"):
        commit_cost(warehouse, "a", ["resumed", "failed"], 4.5, RoutingSettings(period=month), START)
    commit_cost(warehouse, "a", ["resumed", "failed"], 4.5, RoutingSettings(period=month, urgent=True), START)


def test_a_withdrawn_batch_holds_no_money_and_predicts_no_arrivals(warehouse: Warehouse) -> None:
    for batch in ("kept", "mistake"):
        commit_budget(warehouse, batch, batch, problem(), RoutingSettings(period={"budget_usd": 8.0}), START)
    warehouse.append("withdrawals", pa.table({"batch_id": ["mistake"]}))
    commit_budget(warehouse, "mistake", "late run", problem(), RoutingSettings(period={"budget_usd": 8.0}), START)
    assert set(committed(warehouse)) == {"kept"}


def test_commitments_of_an_earlier_day_are_reported_as_they_were(warehouse: Warehouse) -> None:
    settings = RoutingSettings(budget_usd=3.0, period={"budget_usd": 8.0})
    commit_budget(warehouse, "a", "first", problem(), settings, START)
    commit_budget(warehouse, "a", "again", problem(), replace(settings, budget_usd=4.0), START + timedelta(days=1))
    with warehouse.reader() as connection:
        until = START + timedelta(hours=20)
        assert [(name, past.usd) for name, past in standing(connection, until)] == [("a", 3.0)]
        assert standing(connection, START - timedelta(hours=1)) == []


def test_a_run_that_failed_after_its_decision_keeps_what_it_committed(warehouse: Warehouse) -> None:
    commit_budget(warehouse, "a", "decided", problem(), RoutingSettings(period={"budget_usd": 8.0}), START)
    before = committed(warehouse)
    decide(warehouse, "a", "decided", before["a"])
    release_commitments(warehouse, ["decided"])
    assert committed(warehouse) == before


def receive(warehouse: Warehouse, batch: str, instructions: int, at: datetime) -> None:
    row = {"batch_id": batch, "file_name": batch, "file_sha256": batch, "instructions": instructions, "received_at": at}
    warehouse.append("batches", pa.Table.from_pylist([row]))


def test_a_batch_that_waits_is_left_its_part_of_the_money(warehouse: Warehouse) -> None:
    settings = RoutingSettings(period={"budget_usd": 5.0})
    alone = commit_budget(warehouse, "first", "alone", problem(), settings, LATE).budget_usd
    receive(warehouse, "waits", 200, LATE)
    assert commit_budget(warehouse, "first", "again", problem(), settings, LATE).budget_usd < 0.5 * alone


def test_instructions_wait_that_came_recently_and_hold_no_money(warehouse: Warehouse) -> None:
    for batch in ("own", "waits", "refused", "gone out", "taken back", "has money", "failed"):
        receive(warehouse, batch, 1000, LATE - timedelta(days=batch == "refused"))
    receive(warehouse, "waits", 7, LATE)
    for batch in ("has money", "failed"):
        commit_budget(warehouse, batch, batch, problem(), RoutingSettings(period={"budget_usd": 5.0}), LATE)
    release_commitments(warehouse, ["failed"])
    warehouse.append("dispatches", pa.table({"batch_id": ["gone out"], "dagster_run_id": ["r"]}))
    warehouse.append("withdrawals", pa.table({"batch_id": ["taken back"]}))
    with warehouse.reader() as connection:
        assert waiting_instructions(connection, "own", LATE) == 1007


def test_unspent_money_is_carried_over_but_overspending_is_not(warehouse: Warehouse) -> None:
    def carried(usd: float) -> float:
        past = [PastBatch(START, usd, spend_curve(problem()))]
        return month_state(PeriodBudget(10.0, carry_over=1.0), past, START + timedelta(days=40)).carried_usd

    assert [carried(4.0), carried(15.0)] == [6.0, 0.0]


def test_a_budget_of_its_own_is_cut_to_what_the_month_has_left(warehouse: Warehouse) -> None:
    settings = RoutingSettings(budget_usd=100.0, period={"budget_usd": 2.0})
    first = commit_budget(warehouse, "a", "r1", problem(), settings, START)
    assert first.budget_usd <= 2.0
    assert "has left" in first.why
    with pytest.raises(PeriodExhausted, match="cheapest assignment"):
        commit_budget(warehouse, "b", "r2", problem(1), settings, START)


def test_money_that_a_batch_does_not_spend_is_free_for_others(warehouse: Warehouse) -> None:
    settings = RoutingSettings(budget_usd=100.0, period={"budget_usd": 2.0})
    commit_budget(warehouse, "a", "r1", problem(), settings)
    commit_cost(warehouse, "a", ["r1"], 0.5, settings)
    second = commit_budget(warehouse, "b", "r2", problem(1), settings)
    assert second.budget_usd == pytest.approx(1.5)
    assert allocate(AllocationProblem(problem(1).success, problem(1).cost, second.budget_usd)).total_cost <= 1.5


def test_unspent_money_is_carried_over_month_by_month(warehouse: Warehouse) -> None:
    settings = RoutingSettings(budget_usd=4.0, period={"budget_usd": 10.0, "carry_over": 0.5})
    commit_budget(warehouse, "a", "r1", problem(), settings, START)
    with warehouse.reader() as connection:
        past = [batch for _, batch in standing(connection)]
    plan = PeriodBudget(10.0, carry_over=0.5)
    april = month_state(plan, past, datetime(2026, 4, 2, tzinfo=UTC))
    assert april.carried_usd == pytest.approx(0.5 * (10.0 - 4.0))
    may = month_state(plan, past, datetime(2026, 5, 2, tzinfo=UTC))
    assert may.carried_usd == pytest.approx(0.5 * (10.0 + april.carried_usd))
    assert (may.start.month, may.end.month) == (5, 6)


def test_a_misspelt_period_is_named(warehouse: Warehouse) -> None:
    with pytest.raises(InvalidInput, match=r"'budget' is unknown in period. Did you mean 'budget_usd'"):
        settings_from({"period": {"budget": 3.0}}, source="policy.yaml")
    for name, value, said in (("reserve", "10 %", "'10 %'"), ("reserve", None, "None"), ("budget_usd", True, "True")):
        period: dict[str, Any] = {"budget_usd": 3.0, name: value}
        with pytest.raises(InvalidInput, match=f"policy.yaml: period.{name} is {said}"):
            settings_from({"period": period}, source="policy.yaml")
    free = RoutingSettings(period={"budget_usd": 3.0, "hard_cap_usd": None})  # type: ignore[dict-item]
    commit_budget(warehouse, "a", "r", problem(), free)
