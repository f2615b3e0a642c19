"""The job that decides a second round, and the sensor that asks for it."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from routing_assets.defs.common import batches, tags
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.upkeep.setbacks import ASKED, next_run_key

decide_second_round = dg.define_asset_job(
    "decide_second_round",
    selection=dg.AssetSelection.groups("second_round") | dg.AssetSelection.assets("batch_page"),
    partitions_def=batches,
    tags=tags(priority=2, minutes=60),
    description="What follows from the first answers of one batch, the hand-off of its second calls, and its page.",
)


@dg.sensor(
    job=decide_second_round,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks for the second round of each batch once the answers that are to be looked at came, or their time is up."
    ),
)
def second_round_sensor(context: dg.SensorEvaluationContext, home: RoutingHome) -> list[dg.RunRequest] | dg.SkipReason:
    requests = []
    for due in home.paths().warehouse.fetch("due_second_rounds", {"now": datetime.now(UTC)}):
        asked = f"{due['batch_id']}@{due['first_run_id']}"
        key = next_run_key(context.instance, asked)
        if key is not None:
            requests.append(dg.RunRequest(run_key=key, partition_key=due["batch_id"], tags={ASKED: asked}))
    return requests or dg.SkipReason("no batch waits for its second round with answers to look at")
