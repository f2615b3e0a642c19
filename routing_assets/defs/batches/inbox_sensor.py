"""Files that are dropped into the inbox are routed."""

from __future__ import annotations

import json

import dagster as dg

from routing_assets.batches.inbox import take_in
from routing_assets.batches.policy import read_policy
from routing_assets.batches.receive import Admission
from routing_assets.defs.batches.jobs import route_batch, routing_request
from routing_assets.defs.common import batches
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.looks import tell


@dg.sensor(
    job=route_batch,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Takes in whole files from ROUTING_HOME/inbox and asks for their runs. A file is whole when its size "
        "and time of change are those of the tick before. Re-sent files with new content are routed again; "
        "files that cannot be used move to inbox/rejected, and those that another batch holds byte for byte "
        "to inbox/held, with the reason beside them. With ``coalesce`` in the policy file, small files wait "
        "for each other and become one batch. A file named ``<name>.urgent.<ending>`` goes first."
    ),
)
def inbox_sensor(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.SensorResult:
    paths = home.paths()
    policy = read_policy(paths.policy_file)
    admission = Admission(policy.strict, policy.duplicates == "route", policy.layout, policy.encoding)
    taken = take_in(
        paths.warehouse, paths.folders, json.loads(context.cursor or "{}"), policy.coalesce, admission=admission
    )
    tell(context, taken)
    # A batch received before has its old run key, and Dagster runs no key twice.
    requests = {
        received.batch_id: routing_request(received.run_key, received.batch_id, received.request)
        for received in taken.received
    }
    return dg.SensorResult(
        run_requests=list(requests.values()),
        dynamic_partitions_requests=[batches.build_add_request(list(requests))],
        cursor=json.dumps(taken.seen),
    )
