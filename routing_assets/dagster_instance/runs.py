"""Run the project's Dagster jobs from Python, on the project's own instance, so that the UI shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import forget_lost_run, lost_runs
from routing_assets.storage.warehouse import WarehouseBusy, WarehouseUnavailable

_SAYS_WHAT_TO_DO = {error.__name__ for error in (InvalidInput, WarehouseBusy, WarehouseUnavailable)}


def fail_lost_runs(instance: dg.DagsterInstance, locks: Path) -> list[str]:
    """Mark runs whose process died as failed and free their pool slots; returns their ids.

    Dagster itself notices such a run only as long as the server that started it lives.
    """
    lost = lost_runs(locks)
    for run_id in lost:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, "The process of this run died.")
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        forget_lost_run(locks, run_id)
    return lost


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a signal ended the run, within a step or between two."""
    ends = [event for event in result.all_events if event.event_type == dg.DagsterEventType.PIPELINE_FAILURE]
    errors = [event.job_failure_data.error for event in ends]
    interruptions = ("KeyboardInterrupt", dg.DagsterExecutionInterruptedError.__name__)
    return any(error.cls_name in interruptions for error in errors if error)


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
