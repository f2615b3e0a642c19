"""Batch files dropped into the inbox are routed."""

import json

import dagster as dg

from routing_assets.defs.common import batches
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.jobs import route_batch
from routing_assets.errors import InvalidInput
from routing_assets.intake import receive, reject, whole_files


@dg.sensor(job=route_batch, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def inbox_sensor(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.SensorResult:
    """Claims whole files from ROUTING_HOME/inbox, registers them and asks for their runs.

    A file is whole when its size and time of change are those of the tick before. Re-sent files with new content
    are routed again; files that cannot be used move to inbox/rejected with the reason beside them.
    """
    paths = home.paths()
    files, seen = whole_files(paths.inbox, json.loads(context.cursor or "{}"))
    requests: dict[str, dg.RunRequest] = {}
    for file in files:
        try:
            received = receive(paths, file, move=True)
        except InvalidInput as error:
            context.log.error(f"{error}; moved to {reject(paths, file, str(error))}")
            continue
        if received.is_new:
            requests[received.batch_id] = dg.RunRequest(run_key=received.run_key, partition_key=received.batch_id)
        else:
            context.log.info(f"{file.name} was received before, byte for byte; batch {received.batch_id} stands")
    return dg.SensorResult(
        run_requests=list(requests.values()),
        dynamic_partitions_requests=[batches.build_add_request(list(requests))],
        cursor=json.dumps(seen),
    )
