"""A run that is re-executed from its failure goes on with what the failed one made, its money included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from routing_assets import audit_commands, commands
from routing_assets.commitments import release_commitments, standing, undecided_runs
from routing_assets.definitions import defs
from routing_assets.ledger import decision_in_force
from routing_assets.runs import RunFailed, instance_of
from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse


def route_batch() -> dg.JobDefinition:
    return defs.resolve_job_def("route_batch")


@pytest.fixture
def failed(trained: Home, batch_file: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An installation whose only batch was routed, but not handed over."""

    def full(*_: object, **__: object) -> None:
        raise dg.Failure("disk full", allow_retries=False)

    trained.policy_file.write_text("period: {budget_usd: 0.5}\n")
    with monkeypatch.context() as patch:
        patch.setattr("routing_assets.defs.routed.export_batch", full)
        with pytest.raises(RunFailed, match="disk full"):
            commands.route(trained, batch_file, {})
    return trained


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
    assert (failed.outbox / "weekly" / "manifest.json").exists()
    routed = commands.Store(failed.store).read("routed_batch", "weekly").to_pylist()[0]
    capsys.readouterr()
    audit_commands.explain(failed, "weekly", routed["instruction_id"])
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert float(said["used_probability"]) == pytest.approx(routed["expected_success"])
    assert float(said["temperature"]) > 0
    with Warehouse(failed.warehouse).reader() as connection:
        assert [past.usd for _, past in standing(connection)] == [decision_in_force(failed, "weekly")["total_cost"]]


def test_it_does_not_spend_what_was_given_to_others_since(failed: Home, instance: dg.DagsterInstance) -> None:
    warehouse = Warehouse(failed.warehouse)
    release_commitments(warehouse, undecided_runs(warehouse))
    assert not resume(instance).success
    assert not (failed.outbox / "weekly").exists()
    assert warehouse.fetch("ledger_entries") == []
