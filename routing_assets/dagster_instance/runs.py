"""Runs in Dagster's instance: which were lost, interrupted or resumed, and why one failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import forget_lost_run, lost_runs
from routing_assets.storage.warehouse import WarehouseBusy, WarehouseUnavailable

_WITH_REMEDY = {error.__name__ for error in (InvalidInput, WarehouseBusy, WarehouseUnavailable)}
"""Errors whose message says what to do. They are shown without the name of their class."""


def fail_lost_runs(instance: dg.DagsterInstance, locks: Path) -> list[str]:
    """Mark runs whose process died as failed, and free their pool slots; return their ids.

    Dagster itself notices such a run only while the server that started it is running.
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
    """Whether a signal ended the run, during a step or between two steps."""
    ends = [event for event in result.all_events if event.event_type == dg.DagsterEventType.PIPELINE_FAILURE]
    errors = [event.job_failure_data.error for event in ends]
    interruptions = ("KeyboardInterrupt", dg.DagsterExecutionInterruptedError.__name__)
    return any(error.cls_name in interruptions for error in errors if error)


def runs_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Ids of a run and of the runs that it resumes, newest first. A run uses what the runs that it resumes made."""
    ids, parent = [run.run_id], run.parent_run_id
    while parent is not None and parent not in ids:
        ids.append(parent)
        resumed = instance.get_run_by_id(parent)
        parent = run.root_run_id if resumed is None else resumed.parent_run_id
    return ids


def failure_reason(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Why a run failed: the reason of its first failed step. Where none failed, as after a kill, Dagster's message."""
    if steps := _events(instance, run_id, dg.DagsterEventType.STEP_FAILURE):
        return step_reason(steps)
    ends = _events(instance, run_id, dg.DagsterEventType.PIPELINE_FAILURE)
    return ends[-1].message if ends else None


def _events(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    return [log.dagster_event for log in instance.all_logs(run_id, of_type=kind) if log.dagster_event]


def step_reason(failures: Sequence[dg.DagsterEvent]) -> str | None:
    """The reason of the first failed step or blocking check; None where no step failed.

    Libraries wrap errors in longer ones. So the reason is the error that says what to do or, where none does, the
    first cause.
    """
    if not failures:
        return None
    data = failures[0].step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return f"{failures[0].step_key}: {data.user_failure_data.description}"
    error = data.error
    while error and error.cause and error.cls_name not in _WITH_REMEDY:
        error = error.cause
    return f"{failures[0].step_key}: {_text(error.cls_name, error.message) if error else 'failed'}"


def _text(error_class: str | None, message: str) -> str:
    """The message of an error, without the name of its class where the message says what to do."""
    text = message.strip()
    return text.split(f"{error_class}: ", 1)[-1] if error_class in _WITH_REMEDY else text
