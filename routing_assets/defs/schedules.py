"""Batches that wait, or whose decision is out of date, are routed (again)."""

from datetime import UTC, datetime

import dagster as dg

from routing_assets.defs.common import BATCHES
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.jobs import route_batch
from routing_assets.defs.setbacks import setbacks
from routing_assets.ledger import stale_batches

URGENT = {"dagster/priority": "10"}
UNDER_WAY = dg.RunsFilter(
    job_name=route_batch.name,
    statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
)


@dg.schedule(job=route_batch, cron_schedule="*/5 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def reroute_stale_batches(
    context: dg.ScheduleEvaluationContext, home: RoutingHome
) -> list[dg.RunRequest] | dg.SkipReason:
    """Routes every batch that is not dispatched and whose file, router, prices or policy changed since its decision.

    What was asked for once is not asked for again, unless the environment stopped it: then after a pause.
    """
    under_way = {run.tags.get("dagster/partition") for run in context.instance.get_runs(UNDER_WAY)}
    setback, now = setbacks(context.instance, route_batch.name), datetime.now(UTC)
    stale = [
        batch
        for batch in stale_batches(home.paths())
        if batch.batch_id not in under_way
        and (batch.batch_id not in setback or setback[batch.batch_id].may_be_tried_again(now))
    ]
    if not stale:
        return dg.SkipReason("every open batch is routed by the router, prices and policy in force")
    context.instance.add_dynamic_partitions(BATCHES, [batch.batch_id for batch in stale])
    return [
        dg.RunRequest(
            run_key=f"{batch.batch_id}@{batch.fingerprint}"
            + (f"!{setback[batch.batch_id].run_id}" if batch.batch_id in setback else ""),
            partition_key=batch.batch_id,
            run_config={"resources": {"routing_request": {"config": batch.request}}},
            tags={"routing/stale": ",".join(batch.reasons)} | (URGENT if batch.request.get("urgent") else {}),
        )
        for batch in stale
    ]
