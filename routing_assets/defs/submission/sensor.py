"""Looks at the providers' jobs and at the outbox, and asks for a run for each batch that has something to be done."""

from __future__ import annotations

import json
from datetime import timedelta

import dagster as dg

from routing_assets.batches.known import outcome_files
from routing_assets.batches.policy import read_policy
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.look import look
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.outcomes.jobs import record_outcomes
from routing_assets.defs.submission.submissions import submit_and_collect

UNDER_WAY = dg.RunsFilter(
    job_name=submit_and_collect.name,
    statuses=[
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ],
)
AGAIN = timedelta(minutes=10)
"""A batch of which nothing changed is tried again after this time."""
MOST_RUNS = 100
"""Of one tick; the other batches follow."""


@dg.sensor(
    jobs=[submit_and_collect, record_outcomes],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks for runs that send and fetch, and for the outcomes of batches whose results came. A tick reads "
        "a few pages of the providers' jobs; the next one goes on from there."
    ),
)
def submission_sensor(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.SensorResult | dg.SkipReason:
    paths = home.paths()
    settings = read_policy(paths.policy_file).submit
    if settings is None:
        return dg.SkipReason("nothing is sent to providers: the policy has no submit")
    before = json.loads(context.cursor or "{}")
    desk = Desk(paths.warehouse, paths.store, paths.folders, settings, run_id="")
    seen = look(desk, before.get("pages"))
    for remark in seen.remarks:
        context.log.warning(remark)
    under_way = {run.tags.get("dagster/partition") for run in context.instance.get_runs(UNDER_WAY)}
    period = int(desk.now().timestamp() // AGAIN.total_seconds())
    requests = [
        dg.RunRequest(f"{batch_id}@{entry}~{period}", partition_key=batch_id, job_name=submit_and_collect.name)
        for batch_id, entry in seen.batches.items()
        if batch_id not in under_way
    ][:MOST_RUNS]
    ended = paths.warehouse.fetch("ended_submissions_since", {"entry": before.get("entry", 0)})
    for row in ended:
        for file in outcome_files(paths.folders, row["batch_id"])[-1:]:
            key = f"{row['batch_id']}@{file.name}"
            requests.append(dg.RunRequest(key, partition_key=row["batch_id"], job_name=record_outcomes.name))
    entry = ended[-1]["entry"] if ended else before.get("entry", 0)
    return dg.SensorResult(run_requests=requests, cursor=json.dumps({"entry": entry, "pages": dict(seen.pages)}))
