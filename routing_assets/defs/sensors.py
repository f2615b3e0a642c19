"""Files that are dropped into folders: batches are routed, outcomes are set against their decisions."""

import json
from datetime import UTC, datetime

import dagster as dg

from routing_assets.coalescing import coalescing
from routing_assets.defs.common import batches
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.jobs import record_outcomes, route_batch, routing_request
from routing_assets.defs.setbacks import setbacks
from routing_assets.inbox import Seen, TakenIn, standing_alone, take_in, whole_files
from routing_assets.intake import Admission, outcome_files, repeats_allowed
from routing_assets.outcome_inbox import take_in_outcomes
from routing_assets.routing import policy_file


@dg.sensor(job=route_batch, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def inbox_sensor(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.SensorResult:
    """Takes in whole files from ROUTING_HOME/inbox and asks for their runs.

    A file is whole when its size and time of change are those of the tick before. Re-sent files with new content
    are routed again; files that cannot be used move to inbox/rejected, and those that another batch holds byte for byte
    to inbox/held, with the reason beside them. With ``coalesce`` in the policy file, small files wait for each other
    and become one batch. A file named ``<name>.urgent.<ending>`` goes first.
    """
    paths = home.paths()
    policy = policy_file(paths.policy_file)
    small = coalescing(policy.get("coalesce"), source=str(paths.policy_file))
    admission = Admission(strict=policy.get("strict") is True, may_repeat=repeats_allowed(paths.policy_file))
    taken = take_in(paths, json.loads(context.cursor or "{}"), small, admission=admission)
    tell(context, taken)
    # A batch received before has its old run key, of which Dagster makes no second run.
    requests = {
        received.batch_id: routing_request(received.run_key, received.batch_id, received.request)
        for received in taken.received
    }
    return dg.SensorResult(
        run_requests=list(requests.values()),
        dynamic_partitions_requests=[batches.build_add_request(list(requests))],
        cursor=json.dumps(taken.seen),
    )


@dg.sensor(job=record_outcomes, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def outcomes_sensor(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.SensorResult:
    """Takes in whole files from ROUTING_HOME/outcomes/<batch id>; partial, late and repeated files are fine.

    The folder may be called like the batch's file, too, where that name could not be the batch's.

    A run that the environment stopped is asked for again after a pause.
    """
    paths, before, now = home.paths(), json.loads(context.cursor or "{}"), datetime.now(UTC)
    requests = [
        dg.RunRequest(run_key=f"{batch_id}!{setback.run_id}", partition_key=batch_id)
        for batch_id, setback in setbacks(context.instance, record_outcomes.name).items()
        if setback.may_be_tried_again(now)
        and newest_run(context.instance, batch_id) == setback.run_id
        and outcome_files(paths, batch_id)  # a retired batch has none, and is no partition any more
    ]
    cursor: dict[str, Seen] = {}
    taken = TakenIn()
    for folder in sorted(path for path in paths.outcomes.iterdir() if path.is_dir()):
        with standing_alone(taken, folder.name):
            seen = before.get(folder.name, {})
            files, cursor[folder.name] = whole_files(folder, seen)
            # Files that left since the look before may be those of a tick that died before it asked for their run.
            if files or seen.keys() - cursor[folder.name].keys():
                batch_id = take_in_outcomes(paths, folder.name, files, taken)
                newest = outcome_files(paths, batch_id)[-1:] if batch_id else []
                requests += [
                    dg.RunRequest(run_key=f"{batch_id}@{file.name}", partition_key=batch_id) for file in newest
                ]
    tell(context, taken)
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor))


def tell(context: dg.SensorEvaluationContext, taken: TakenIn) -> None:
    """Log what became of the files of one look."""
    for reason in (*taken.rejected, *taken.faults):
        context.log.error(reason)
    for reason in (*taken.held, *taken.waiting):
        context.log.warning(reason)
    for remark in taken.remarks:
        context.log.info(remark)


def newest_run(instance: dg.DagsterInstance, batch_id: str) -> str | None:
    """The newest run that records outcomes of a batch, under way or ended."""
    of_batch = dg.RunsFilter(job_name=record_outcomes.name, tags={"dagster/partition": batch_id})
    return next((run.run_id for run in instance.get_runs(of_batch, limit=1)), None)


automation = dg.AutomationConditionSensorDefinition(
    "automation", target=dg.AssetSelection.assets("calibration_drift"), default_status=dg.DefaultSensorStatus.RUNNING
)
