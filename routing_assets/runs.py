"""Run the project's Dagster jobs from Python, on the project's own instance, so that the UI shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import dagster as dg

from routing_assets.errors import InvalidInput
from routing_assets.locks import forget_lost_run, lost_runs, run_alive
from routing_assets.releases import finish_release
from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse, WarehouseBusy, WarehouseUnavailable

_SAYS_WHAT_TO_DO = {error.__name__ for error in (InvalidInput, WarehouseBusy, WarehouseUnavailable)}
QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


class RunFailed(RuntimeError):
    """A Dagster run failed; the message is the reason that the failing step gave."""


@contextmanager
def instance_of(home: Home) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of this installation, made on first use."""
    home.create()
    Warehouse(home.warehouse).create()
    os.environ["ROUTING_HOME"], os.environ["DAGSTER_HOME"] = str(home.root), str(home.dagster)
    with dg.DagsterInstance.get() as instance:
        fail_lost_runs(instance, home)
        finish_release(home)
        yield instance


def fail_lost_runs(instance: dg.DagsterInstance, home: Home) -> list[str]:
    """Mark runs whose process died as failed and free their pool slots; returns their ids.

    Dagster itself notices such a run only as long as the server that started it lives.
    """
    lost = lost_runs(home)
    for run_id in lost:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, "The process of this run died.")
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        forget_lost_run(home, run_id)
    return lost


def run_job(
    instance: dg.DagsterInstance,
    job: str,
    *,
    ops: Mapping[str, Mapping[str, Any]] | None = None,
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    batch_id: str | None = None,
) -> dg.ExecuteInProcessResult:
    """Run a job of the project in this process.

    Args:
        ops: configuration by asset.
        resources: configuration by resource.
        batch_id: partition of the per-batch job; registered when new.

    Raises:
        RunFailed: with the reason of the first failed step or blocking check.
        KeyboardInterrupt: the run was stopped from outside.
    """
    from routing_assets.definitions import defs
    from routing_assets.defs.common import BATCHES

    if batch_id is not None:
        instance.add_dynamic_partitions(BATCHES, [batch_id])
    run_id = str(uuid4())
    with run_alive(Home.from_env(), run_id):
        result = defs.resolve_job_def(job).execute_in_process(
            run_config={
                "ops": {name: {"config": dict(config)} for name, config in (ops or {}).items()},
                "resources": {name: {"config": dict(config)} for name, config in (resources or {}).items()},
                "loggers": QUIET,
            },
            instance=instance,
            partition_key=batch_id,
            raise_on_error=False,
            run_id=run_id,
        )
    if was_interrupted(result):
        raise KeyboardInterrupt
    if not result.success:
        failures = [event for event in result.all_events if event.is_step_failure]
        raise RunFailed(failed_check(result) or step_reason(failures) or f"run {run_id} failed; see its log in the UI")
    return result


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a signal ended the run, within a step or between two."""
    ends = [event for event in result.all_events if event.event_type == dg.DagsterEventType.PIPELINE_FAILURE]
    errors = [event.job_failure_data.error for event in ends]
    interruptions = ("KeyboardInterrupt", dg.DagsterExecutionInterruptedError.__name__)
    return any(error.cls_name in interruptions for error in errors if error)


def failed_check(result: dg.ExecuteInProcessResult) -> str | None:
    """What the first blocking check that did not pass said; None where all passed."""
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.blocking:
            said = f": {check.description}" if check.description else ""
            return f"{check.asset_key.to_user_string()}: the check {check.check_name} did not pass{said}"
    return None


def runs_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Ids of a run and of those that it resumes, newest first: what a killed one made, another goes on with."""
    ids, parent = [run.run_id], run.parent_run_id
    while parent is not None and parent not in ids:
        ids.append(parent)
        resumed = instance.get_run_by_id(parent)
        parent = run.root_run_id if resumed is None else resumed.parent_run_id
    return ids


def failure_reason(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Why a run failed: its first failed step, or what Dagster says of one of which no step failed, as when killed."""
    if steps := _events(instance, run_id, dg.DagsterEventType.STEP_FAILURE):
        return step_reason(steps)
    ends = _events(instance, run_id, dg.DagsterEventType.PIPELINE_FAILURE)
    return ends[-1].message if ends else None


def _events(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    return [log.dagster_event for log in instance.all_logs(run_id, of_type=kind) if log.dagster_event]


def step_reason(failures: Sequence[dg.DagsterEvent]) -> str | None:
    """What the first failed step, or blocking check, said; None where no step failed.

    Of a chain of errors the one that says what to do, or else where it began: libraries wrap errors in longer ones.
    """
    if not failures:
        return None
    data = failures[0].step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return f"{failures[0].step_key}: {data.user_failure_data.description}"
    error = data.error
    while error and error.cause and error.cls_name not in _SAYS_WHAT_TO_DO:
        error = error.cause
    return f"{failures[0].step_key}: {_said(error.cls_name, error.message) if error else 'failed'}"


def _said(error_class: str | None, message: str) -> str:
    """What an error said, without its class where it speaks for itself."""
    said = message.strip()
    return said.split(f"{error_class}: ", 1)[-1] if error_class in _SAYS_WHAT_TO_DO else said
