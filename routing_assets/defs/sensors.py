"""Files that are dropped into folders: batches are routed, outcomes are set against their decisions."""

import json

import dagster as dg

from routing_assets.coalescing import coalescing
from routing_assets.defs.common import batches
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.jobs import record_outcomes, route_batch, routing_request
from routing_assets.errors import InvalidInput
from routing_assets.inbox import take_in, whole_files
from routing_assets.intake import receive_outcomes, reject
from routing_assets.routing import policy_file


@dg.sensor(job=route_batch, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def inbox_sensor(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.SensorResult:
    """Takes in whole files from ROUTING_HOME/inbox and asks for their runs.

    A file is whole when its size and time of change are those of the tick before. Re-sent files with new content
    are routed again; files that cannot be used move to inbox/rejected with the reason beside them. With ``coalesce``
    in the policy file, small files wait for each other and become one batch. A file named ``<name>.urgent.<ending>``
    goes first.
    """
    paths = home.paths()
    policy = policy_file(paths.policy_file)
    small = coalescing(policy.get("coalesce"), source=str(paths.policy_file))
    taken = take_in(paths, json.loads(context.cursor or "{}"), small)
    for reason in taken.rejected:
        context.log.error(reason)
    for remark in taken.remarks:
        context.log.info(remark)
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
    """Takes in whole files from ROUTING_HOME/outcomes/<batch id>; partial, late and repeated files are fine."""
    paths, before = home.paths(), json.loads(context.cursor or "{}")
    requests, cursor = [], {}
    for folder in sorted(path for path in paths.outcomes.iterdir() if path.is_dir()):
        files, cursor[folder.name] = whole_files(folder, before.get(folder.name, {}))
        kept = []
        for file in files:
            try:
                kept.append(receive_outcomes(paths, file, folder.name, move=True))
            except InvalidInput as error:
                context.log.error(f"{error}; moved to {reject(paths, file, str(error))}")
        if kept:
            requests.append(dg.RunRequest(run_key=f"{folder.name}@{kept[-1].name}", partition_key=folder.name))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor))


automation = dg.AutomationConditionSensorDefinition(
    "automation", target=dg.AssetSelection.assets("calibration_drift"), default_status=dg.DefaultSensorStatus.RUNNING
)
