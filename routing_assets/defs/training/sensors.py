"""Automatic upkeep of the router: recalibrated or retrained when it drifts, retrained when new labels came in.

Neither sensor requests the same run twice, as Dagster runs no key again. A key names the router in force and the
evidence, so that a challenger that lost is not made again from the same outcomes; evidence is new when it has doubled.
Only a run that the environment stopped is requested again, after a pause.
"""

import json
from pathlib import Path

import dagster as dg

from routing_assets.defs.home import RoutingHome
from routing_assets.defs.training.jobs import recalibrate_router, retrain_router
from routing_assets.defs.upkeep.setbacks import ASKED, next_run_key
from routing_assets.pricing.catalog_table import SIMULATED
from routing_assets.routers import release as champion
from routing_assets.routers.label_sources import source_sha256

LEAST_OUTCOMES = 100
BEHIND_BATCHES = {"dagster/priority": "-10"}
JOBS = {"recalibrate": recalibrate_router, "retrain": retrain_router}


@dg.sensor(
    jobs=list(JOBS.values()),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Does what the newest drift report on the router in force advises: recalibrate (cheap) or retrain (dear). "
        "One attempt for each router, advice, and doubling of the outcomes behind the advice, from a hundred "
        "outcomes on."
    ),
)
def act_on_drift(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.RunRequest | dg.SkipReason:
    reports = home.paths().warehouse.fetch("latest_advice")
    if not reports or reports[0]["advice"] == "none":
        return dg.SkipReason("no drift was found in what the router in force decided")
    report = reports[0]
    if report["judged"] < LEAST_OUTCOMES:
        return dg.SkipReason(f"{report['advice']} rests on {report['judged']} outcomes; {LEAST_OUTCOMES} are asked for")
    router, advice = report["router_version"], report["advice"]
    asked = f"{advice}/{router}/{report['judged'].bit_length()}"
    run_key = next_run_key(context.instance, asked)
    if run_key is None:
        return dg.SkipReason(f"the environment stopped {asked}; it is tried again after a pause")
    return dg.RunRequest(
        run_key=run_key,
        job_name=JOBS[advice].name,
        run_config=retraining_config(home, router) if advice == "retrain" else None,
        tags=BEHIND_BATCHES | {ASKED: asked, "routing/why": report["why"][:200], "routing/router": router},
    )


@dg.sensor(
    job=retrain_router,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Retrains when the label file of the router in force has other content than it learnt from. The file "
        "must be unchanged since the tick before. It is hashed only when its size or time of change differs."
    ),
)
def retrain_on_new_labels(context: dg.SensorEvaluationContext, home: RoutingHome) -> dg.SensorResult | dg.SkipReason:
    known = home.paths().warehouse.fetch("labels_in_force")
    if not known or known[0]["source"].startswith(SIMULATED):
        return dg.SkipReason("no router that learnt from a label file is in force")
    source, learnt = known[0]["source"], known[0]["source_sha256"]
    if not Path(source).exists():
        return dg.SkipReason(f"{source}, which the router in force learnt from, is gone")
    before, now = json.loads(context.cursor or "{}"), {"source": source, "stat": _stat(Path(source))}
    if {name: before.get(name) for name in now} != now:
        return dg.SensorResult(skip_reason=f"{source} changed a moment ago", cursor=json.dumps(now))
    sha256 = before.get("sha256") or source_sha256(source)
    cursor = json.dumps(now | {"sha256": sha256})
    if sha256 == learnt:
        return dg.SensorResult(skip_reason="the router in force learnt from these very labels", cursor=cursor)
    router = known[0]["router_version"]
    asked = f"labels/{router}/{sha256}"
    run_key = next_run_key(context.instance, asked)
    if run_key is None:
        return dg.SensorResult(skip_reason="the environment stopped this training; a pause first", cursor=cursor)
    request = dg.RunRequest(
        run_key=run_key,
        run_config=retraining_config(home, router),
        tags=BEHIND_BATCHES | {ASKED: asked, "routing/why": f"{source} changed"[:200]},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)


def retraining_config(home: RoutingHome, router_version: str) -> dict[str, object]:
    """The run configuration that trained a router, or its parent."""
    return {"ops": json.loads(champion.candidate(home.paths().warehouse, router_version)["training_config"])}


def _stat(source: Path) -> list[list[object]]:
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
