"""Failed runs are reported with their reasons; runs whose process died are detected."""

import json
import os
import urllib.request
from collections.abc import Iterator, Sequence

import dagster as dg

from routing_assets.audit.failures import record_failure
from routing_assets.dagster_instance.runs import fail_lost_runs, failure_reason
from routing_assets.defs.home import RoutingHome

WEBHOOK = "ROUTING_FAILURE_WEBHOOK"
FAILED_FOR = "routing/failed_for"
ENVIRONMENT = "environment"
"""Tag of runs that a full disk, a locked database or a killed process stopped: they may be tried again."""
_OF_THE_ENVIRONMENT = {
    "OSError",
    "PermissionError",
    "TimeoutError",
    "ConnectionError",
    "BlockingIOError",
    "WarehouseBusy",
    "WarehouseUnavailable",
    "NewerWarehouse",
    "OperationalError",
}


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description=(
        "One JSON line per failed run in ROUTING_HOME/failures.jsonl, posted to $ROUTING_FAILURE_WEBHOOK as well."
    ),
)
def report_failures(context: dg.RunFailureSensorContext, home: RoutingHome) -> None:
    run = context.dagster_run
    steps = context.get_step_failure_events()
    cause = failed_for(steps)
    context.instance.add_run_tags(run.run_id, {FAILED_FOR: cause})
    line = {
        "run_id": run.run_id,
        "job": run.job_name,
        "batch_id": run.tags.get("dagster/partition"),
        "failed": [event.step_key for event in steps],
        "failed_for": cause,
        "reason": failure_reason(context.instance, run.run_id),
    }
    record_failure(home.paths().failures, line)
    if url := os.environ.get(WEBHOOK):
        if not url.startswith(("https://", "http://")):
            raise ValueError(f"{WEBHOOK} is not an http address")
        request = urllib.request.Request(url, json.dumps(line).encode(), {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - the scheme was checked
            pass


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description=(
        "Marks runs whose process died as failed, so that Dagster starts them again and their pool slots are free."
    ),
)
def lost_runs_sensor(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.SkipReason:
    lost = fail_lost_runs(context.instance, home.paths().locks)
    return dg.SkipReason(f"marked as failed: {', '.join(lost)}" if lost else "every run under way is alive")


def failed_for(steps: Sequence[dg.DagsterEvent]) -> str:
    """``environment`` where trying again may help, ``input`` where the run said what is wrong, else ``error``.

    Args:
        steps: the run's step failures; none for a run that was killed.
    """
    if any(event.step_failure_data.user_failure_data for event in steps):
        return "input"
    stopped = [_OF_THE_ENVIRONMENT & set(_error_classes(event)) for event in steps]
    return ENVIRONMENT if all(stopped) else "error"


def _error_classes(event: dg.DagsterEvent) -> Iterator[str]:
    error = event.step_failure_data.error
    while error is not None:
        if error.cls_name:
            yield error.cls_name
        error = error.cause
