"""A run that is re-executed from its failure goes on with what the failed one made, its money included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from helpers import MadeOnce, copy_installation

from routing_assets.batches.known import decision_in_force
from routing_assets.batches.money import release_commitments, standing, undecided_runs
from routing_assets.cli import audit as audit_commands
from routing_assets.cli import batches as batch_commands
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.run_job import instance_of
from routing_assets.dagster_instance.runs import runs_of
from routing_assets.definitions import defs
from routing_assets.defs.batches.scores import ended_undecided
from routing_assets.home import Home


def route_batch() -> dg.JobDefinition:
    return defs.resolve_job_def("route_batch")


@pytest.fixture(scope="package")
def failed_once(trained_once: Path, batch_file: Path, made_once: MadeOnce) -> Path:
    """An installation whose only batch was routed, but not handed over."""

    def full(*_: object, **__: object) -> None:
        raise dg.Failure("disk full", allow_retries=False)

    def fail(home: Home) -> None:
        copy_installation(trained_once, home)
        home.policy_file.write_text("period: {budget_usd: 0.5}\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("routing_assets.defs.batches.routed.export_batch", full)
            with pytest.raises(RunFailed, match="disk full"):
                batch_commands.route(home, batch_file, {})

    return made_once("failed", fail)


@pytest.fixture
def failed(home: Home, failed_once: Path) -> Home:
    """A private copy of it."""
    copy_installation(failed_once, home)
    return home


@pytest.fixture
def instance(failed: Home) -> Iterator[dg.DagsterInstance]:
    with instance_of(failed) as instance:
        yield instance


def resume(instance: dg.DagsterInstance) -> dg.JobExecutionResult:
    (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1)
    options = dg.ReexecutionOptions.from_failure(run.run_id, instance)
    with dg.execute_job(
        dg.reconstructable(route_batch), instance, reexecution_options=options, tags=run.tags, raise_on_error=False
    ) as result:
        return result


def test_it_hands_over_what_was_decided_and_can_be_explained(
    failed: Home, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    assert resume(instance).success
    assert (failed.folders.outbox / "weekly" / "manifest.json").exists()
    routed = failed.store.read("routed_batch", "weekly").to_pylist()[0]
    capsys.readouterr()
    audit_commands.explain(failed, "weekly", routed["instruction_id"])
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert float(said["used_probability"]) == pytest.approx(routed["expected_success"])
    assert float(said["temperature"]) > 0
    with failed.warehouse.reader() as connection:
        assert [past.usd for _, past in standing(connection)] == [
            decision_in_force(failed.warehouse, "weekly")["total_cost"]
        ]


def test_it_does_not_spend_what_was_given_to_others_since(failed: Home, instance: dg.DagsterInstance) -> None:
    warehouse = failed.warehouse
    release_commitments(warehouse, undecided_runs(warehouse))
    other = {"batch_id": ["other"], "dagster_run_id": ["r"], "usd": [0.5], "urgent": [False]}
    with warehouse.reader() as connection:
        ((curve, at),) = connection.sql("select curve::varchar, committed_at from commitments limit 1").fetchall()
    warehouse.append("commitments", pa.table(other | {"curve": [curve], "committed_at": [at]}))
    assert not resume(instance).success
    assert not (failed.folders.outbox / "weekly").exists()
    assert warehouse.fetch("ledger_entries") == []


def test_runs_that_ended_or_were_deleted_hold_no_money(failed: Home, instance: dg.DagsterInstance) -> None:
    warehouse = failed.warehouse
    (run,) = undecided_runs(warehouse)
    under_way = instance.create_run_for_job(route_batch(), status=dg.DagsterRunStatus.STARTED).run_id
    made_its_budget_alone = instance.create_run_for_job(route_batch(), status=dg.DagsterRunStatus.SUCCESS).run_id
    ended = [run, made_its_budget_alone, "deleted"]
    assert ended_undecided(instance, [*ended, under_way]) == ended


def test_it_goes_on_with_what_any_run_of_its_chain_made(failed: Home, instance: dg.DagsterInstance) -> None:
    first, runs = instance.create_run_for_job(route_batch()), []
    before = first
    for _ in range(3):
        before = instance.create_run_for_job(
            route_batch(), parent_run_id=before.run_id, root_run_id=first.run_id, tags={}
        )
        runs.insert(0, before.run_id)
    assert runs_of(instance, before) == [*runs, first.run_id]


def test_one_run_at_a_time_of_each_batch(failed: Home, instance: dg.DagsterInstance) -> None:
    (limit,) = instance.get_concurrency_config().run_queue_config.tag_concurrency_limits
    assert limit == {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
