"""Outcome files that are dropped into folders are compared with the decisions of their batches."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import dagster as dg

from routing_assets.batches.inbox import Seen, TakenIn, standing_alone, whole_files
from routing_assets.batches.known import outcome_files
from routing_assets.batches.outcome_inbox import take_in_outcomes
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.looks import tell
from routing_assets.defs.outcomes.jobs import record_outcomes
from routing_assets.defs.upkeep.setbacks import setbacks


@dg.sensor(
    job=record_outcomes,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Takes in whole files from ROUTING_HOME/outcomes/<batch id>; partial, late and repeated files are "
        "accepted. The folder may also have the name of the batch's file, where that name cannot be a batch "
        "id. A run that the environment stopped is asked for again after a pause."
    ),
)
def outcomes_sensor(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.SensorResult:
    paths, before, now = home.paths(), json.loads(context.cursor or "{}"), datetime.now(UTC)
    requests = [
        dg.RunRequest(run_key=f"{batch_id}!{setback.run_id}", partition_key=batch_id)
        for batch_id, setback in setbacks(context.instance, record_outcomes.name).items()
        if setback.may_be_tried_again(now)
        and newest_run(context.instance, batch_id) == setback.run_id
        and outcome_files(paths.folders, batch_id)  # a retired batch has no folder, and its partition is deleted
    ]
    cursor: dict[str, Seen] = {}
    taken = TakenIn()
    for folder in sorted(path for path in paths.folders.outcomes.iterdir() if path.is_dir()):
        with standing_alone(taken, folder.name):
            seen = before.get(folder.name, {})
            files, cursor[folder.name] = whole_files(folder, seen)
            # Files that left since the look before may be those of a tick that died before it asked for their run.
            if files or seen.keys() - cursor[folder.name].keys():
                batch_id = take_in_outcomes(paths.warehouse, paths.store, paths.folders, folder.name, files, taken)
                newest = outcome_files(paths.folders, batch_id)[-1:] if batch_id else []
                requests += [
                    dg.RunRequest(run_key=f"{batch_id}@{file.name}", partition_key=batch_id) for file in newest
                ]
    tell(context, taken)
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor))


def newest_run(instance: dg.DagsterInstance, batch_id: str) -> str | None:
    """The newest run that records outcomes of a batch, under way or ended."""
    of_batch = dg.RunsFilter(job_name=record_outcomes.name, tags={"dagster/partition": batch_id})
    return next((run.run_id for run in instance.get_runs(of_batch, limit=1)), None)


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.assets("calibration_drift"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a drift report once outcomes came that none has seen.",
)
