"""Run the project's Dagster jobs in this process, on the project's own instance, so that the UI shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import dagster as dg
from sqlalchemy.exc import OperationalError

from routing_assets.audit.failures import record_failure
from routing_assets.cli.errors import RunFailed
from routing_assets.dagster_instance.runs import fail_lost_runs, failure_reason, step_reason, was_interrupted
from routing_assets.foundation.locks import run_alive
from routing_assets.foundation.progress import duration, working
from routing_assets.home import Home
from routing_assets.routers.release_ledger import finish_release

DOING = {
    "train_router": ("training a router", "a minute for each 2,000 labelled instructions"),
    "add_model": ("adding a model to the router", "a minute"),
    "recalibrate_router": ("recalibrating the router", "some seconds"),
    "evaluate_router": ("evaluating", "some minutes"),
    "route_batch": ("routing batch", "some seconds, and ten more for each 1,000 texts"),
    "decide_second_round": ("deciding the second round of batch", "some seconds"),
    "record_outcomes": ("recording outcomes of batch", "some seconds"),
    "update_prices": ("putting prices in force", "some seconds"),
    "watch_router": ("comparing outcomes with predictions", "some seconds"),
}
"""By job of a command: what it does, and how long that usually takes on two cores."""
OTHER = ("working", "some minutes")
QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


@contextmanager
def instance_of(home: Home) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of this installation, made on first use. Raises RunFailed where a database fails."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # no progress messages on the terminal
    home.ready()
    os.environ["ROUTING_HOME"], os.environ["DAGSTER_HOME"] = str(home.root), str(home.dagster)
    try:
        with dg.DagsterInstance.get() as instance:
            for run_id in fail_lost_runs(instance, home.locks):
                _record_lost_run(home, instance, run_id)
            finish_release(home.releases)
            yield instance
    except OperationalError as error:
        raise RunFailed(f"a database of {home.root}: {error.orig}") from error


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
    with run_alive(Home.from_env().locks, run_id), working(_doing(job, batch_id), _how_long(instance, job)):
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
        reason = failed_check(result) or step_reason(failures) or f"run {run_id} failed; see its log in the UI"
        record_failure(Home.from_env().failures, {"run_id": run_id, "job": job, "batch_id": batch_id, "reason": reason})
        raise RunFailed(reason)
    return result


def _doing(job: str, batch_id: str | None) -> str:
    doing = DOING.get(job, OTHER)[0]
    return f"{doing} {batch_id}" if batch_id else doing


def _how_long(instance: dg.DagsterInstance, job: str) -> str:
    """How long the last run of a job took or, for the first, how long it usually takes."""
    done = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS])
    for record in instance.get_run_records(done, limit=1):
        if record.start_time and record.end_time:
            return f"the last time it took {duration(record.end_time - record.start_time)}"
    return f"usually {DOING.get(job, OTHER)[1]}"


def _record_lost_run(home: Home, instance: dg.DagsterInstance, run_id: str) -> None:
    if run := instance.get_run_by_id(run_id):
        batch_id, reason = run.tags.get("dagster/partition"), failure_reason(instance, run_id)
        record_failure(home.failures, {"run_id": run_id, "job": run.job_name, "batch_id": batch_id, "reason": reason})


def failed_check(result: dg.ExecuteInProcessResult) -> str | None:
    """The description of the first blocking check that failed; None where all passed."""
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.blocking:
            said = f": {check.description}" if check.description else ""
            return f"{check.asset_key.to_user_string()}: the check {check.check_name} did not pass{said}"
    return None
