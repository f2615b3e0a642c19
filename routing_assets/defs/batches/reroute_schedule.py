"""Batches that wait, or whose decision is out of date, are routed (again)."""

from datetime import UTC, datetime

import dagster as dg

from routing_assets.batches.stale import stale_batches
from routing_assets.defs.batches.jobs import route_batch, routing_request
from routing_assets.defs.common import BATCHES
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.upkeep.setbacks import setbacks

UNDER_WAY = dg.RunsFilter(
    job_name=route_batch.name,
    statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
)


LONGEST_QUEUE = 100
RUN_KEY = "dagster/run_key"


@dg.schedule(
    job=route_batch,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Routes every batch that is not dispatched and whose file, router, prices or policy changed since its"
        " decision. A batch is requested once for each change, and not again after a refusal. If the "
        "environment stopped its run, it is requested again after a pause. At most a hundred batches are "
        "queued at a time, urgent ones first; the others follow at later ticks."
    ),
)
def reroute_stale_batches(
    context: dg.ScheduleEvaluationContext, home: RoutingHome
) -> list[dg.RunRequest] | dg.SkipReason:
    paths = home.paths()
    instance = context.instance
    under_way = {run.tags.get("dagster/partition") for run in instance.get_runs(UNDER_WAY)}
    setback, now = setbacks(instance, route_batch.name), datetime.now(UTC)
    stale = {
        f"{batch.batch_id}@{batch.fingerprint}"
        + (f"!{setback[batch.batch_id].run_id}" if batch.batch_id in setback else ""): batch
        for batch in stale_batches(paths.warehouse, paths.store, paths.folders, paths.policy_file)
        if batch.batch_id not in under_way
        and batch.refused is None
        and (batch.batch_id not in setback or setback[batch.batch_id].may_be_tried_again(now))
    }
    # A run that was created but not started, because of a crash in between, is requested again: Dagster then starts it.
    runs = instance.get_runs(dg.RunsFilter(tags={RUN_KEY: list(stale)})) if stale else []
    asked_for = {run.tags[RUN_KEY] for run in runs if run.status != dg.DagsterRunStatus.NOT_STARTED}
    due = sorted(stale.keys() - asked_for, key=lambda key: (not stale[key].request.get("urgent"), key))
    due = due[: max(0, LONGEST_QUEUE - len(under_way))]
    if not due:
        return dg.SkipReason("every open batch is routed by the router, prices and policy in force, or was asked for")
    instance.add_dynamic_partitions(BATCHES, [stale[key].batch_id for key in due])
    return [
        routing_request(key, stale[key].batch_id, stale[key].request, {"routing/stale": ",".join(stale[key].reasons)})
        for key in due
    ]
