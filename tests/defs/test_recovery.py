"""Runs that died are noticed, and what the environment stopped is tried again."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from routing_assets.batches.known import decision_in_force
from routing_assets.batches.outbox import MANIFEST
from routing_assets.batches.receive import receive
from routing_assets.batches.stale import stale_batches
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import ends
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.report import report
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.dagster_instance.runs import fail_lost_runs
from routing_assets.defs.upkeep.failures import ENVIRONMENT, FAILED_FOR, failed_for
from routing_assets.defs.upkeep.reports import failed_runs
from routing_assets.defs.upkeep.setbacks import Setback, setbacks
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import lost_runs, run_alive
from routing_assets.home import Home
from routing_assets.storage.warehouse import WarehouseBusy


def die_in(home: Home, run_id: str) -> None:
    """A process that is killed while it works on a run."""
    pid = os.fork()
    if pid == 0:
        with run_alive(home.locks, run_id):
            os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(1)
    os.waitpid(pid, 0)


def test_a_run_is_lost_once_its_process_died_and_not_before(home: Home) -> None:
    with run_alive(home.locks, "alive"):
        with run_alive(home.locks, "alive"):
            pass
        assert (home.locks / "runs" / "alive.lock").exists()
        die_in(home, "dead")
        assert lost_runs(home.locks) == ["dead"]
    assert lost_runs(home.locks) == ["dead"]


def test_a_lost_run_is_marked_as_failed_and_frees_its_pool_slot(home: Home) -> None:
    with instance_of(home) as instance:
        run = instance.create_run_for_job(dg.job(name="j")(lambda: None), status=dg.DagsterRunStatus.STARTED)
        instance.event_log_storage.initialize_concurrency_limit_to_default("training")
        instance.event_log_storage.claim_concurrency_slot("training", run.run_id, "step")
        assert instance.event_log_storage.get_concurrency_info("training").active_slot_count == 1
        die_in(home, run.run_id)
        assert fail_lost_runs(instance, home.locks) == [run.run_id]
        assert fail_lost_runs(instance, home.locks) == []
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status == dg.DagsterRunStatus.FAILURE
        assert instance.event_log_storage.get_concurrency_info("training").active_slot_count == 0


@pytest.fixture
def failing(trained: Home, batch_file: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A batch whose run was stopped by a full disk."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("routing_assets.storage.parquet_store.pq.write_table", full)
        with pytest.raises(RunFailed, match="No space left on device"):
            batch_commands.route(trained, batch_file, {})
    return trained


def test_the_reason_of_a_failed_run_is_the_error_with_the_remedy_not_what_it_came_from(
    trained: Home, batch_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise WarehouseBusy("Close the program that holds it.") from OSError("lock")

    monkeypatch.setattr("routing_assets.defs.batches.allocations.commit_budget_of", busy)
    with pytest.raises(RunFailed, match="Close the program"):
        batch_commands.route(trained, batch_file, {})


def test_a_wrong_policy_file_fails_a_run_for_its_input(trained: Home, batch_file: Path) -> None:
    trained.policy_file.write_text("budget_fraction: -1")
    with pytest.raises(InvalidInput, match=r"policy\.yaml"):
        batch_commands.route(trained, batch_file, {})
    receive(trained.warehouse, trained.folders, batch_file)
    with instance_of(trained) as instance:
        with pytest.raises(RunFailed, match=r"policy\.yaml"):
            run_job(instance, "route_batch", batch_id="weekly")
        run = instance.get_runs(limit=1)[0]
        events = [log.dagster_event for log in instance.all_logs(run.run_id) if log.dagster_event]
    assert failed_for([event for event in events if event.is_step_failure]) == "input"


def test_a_run_is_reported_on_the_day_on_which_it_failed_whenever_it_began(home: Home) -> None:
    with instance_of(home) as instance:
        run = instance.create_run_for_job(dg.job(name="j")(lambda: None), status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run, "The process of this run died.")
        with sqlite3.connect(home.dagster / "history" / "runs.db") as runs:
            assert runs.execute("update runs set create_timestamp = '2020-01-01 00:00:00'").rowcount == 1
        today = datetime.now(UTC).date()
        died = {"run": run.run_id[:8], "job": "j", "batch": None, "reason": "The process of this run died."}
        assert failed_runs(instance, today) == [died]
        assert failed_runs(instance, today - timedelta(days=1)) == []
        assert failed_runs(instance, date(2020, 1, 1)) == []


def test_a_report_says_of_a_failed_command_its_batch_and_reason(trained: Home, batch_file: Path) -> None:
    with pytest.raises(RunFailed):
        batch_commands.route(trained, batch_file, {"budget_usd": 1e-9})
    report(trained, datetime.now(UTC).date())
    (page,) = trained.reports.glob("*.md")
    (row,) = [line for line in page.read_text().splitlines() if "cheapest feasible budget" in line]
    assert "| route_batch | weekly | cost_matrix: " in row


def test_a_run_that_the_environment_stopped_may_be_tried_again_after_a_pause(failing: Home) -> None:
    with instance_of(failing) as instance:
        run = instance.get_runs(limit=1)[0]
        events = [log.dagster_event for log in instance.all_logs(run.run_id) if log.dagster_event]
        assert failed_for([event for event in events if event.is_step_failure]) == ENVIRONMENT
        assert setbacks(instance, "route_batch") == {}
        instance.add_run_tags(run.run_id, {FAILED_FOR: ENVIRONMENT})
        setback = setbacks(instance, "route_batch")["weekly"]
    assert (setback.run_id, setback.failures) == (run.run_id, 1)
    assert not setback.may_be_tried_again(datetime.now(UTC))
    assert setback.may_be_tried_again(datetime.now(UTC) + timedelta(minutes=6))


def test_pauses_grow_to_six_hours() -> None:
    ended = datetime(2026, 1, 1, tzinfo=UTC)
    for failures, minutes in ((1, 5), (2, 10), (4, 40), (50, 360)):
        setback = Setback("run", failures, ended)
        assert not setback.may_be_tried_again(ended + timedelta(minutes=minutes - 1))
        assert setback.may_be_tried_again(ended + timedelta(minutes=minutes))


def test_an_interrupted_hand_over_is_made_again_and_cannot_be_dispatched(routed: Home) -> None:
    (routed.folders.outbox / "weekly" / MANIFEST).write_text("{half a")
    assert [
        batch.reasons for batch in stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file)
    ] == [("hand-off",)]
    (routed.folders.outbox / "weekly" / MANIFEST).unlink()
    assert [
        batch.reasons for batch in stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file)
    ] == [("hand-off",)]
    with pytest.raises(InvalidInput):
        ends.dispatch(routed, "weekly")


def test_the_order_of_entry_holds_when_the_clock_jumps_back(routed: Home, batch_file: Path) -> None:
    with routed.warehouse.transaction() as connection:
        for table, stamp in (("batches", "received_at"), ("routers", "recorded_at")):
            connection.execute(f"update {table} set {stamp} = {stamp} + interval 40 day")
    batch_commands.route(routed, batch_file, {"policy": "ndch"})
    assert stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file) == []
    assert decision_in_force(routed.warehouse, "weekly")["policy"] == "ndch"
