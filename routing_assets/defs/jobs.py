"""The jobs behind the command line, the sensors and the schedules."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from routing_assets.defs.common import batches

RELEASE = dg.AssetSelection.assets("router_comparison", "router_release")
TRAINING = ("labels", "prices", "router")
URGENT = {"dagster/priority": "10"}
ROUTING = ("batches", "allocations", "routed")


def tags(*, priority: int, minutes: int) -> dict[str, str]:
    """Order in the run queue (higher first), and the time after which a run is ended."""
    return {"dagster/priority": str(priority), "dagster/max_runtime": str(60 * minutes)}


train_router = dg.define_asset_job(
    "train_router",
    selection=dg.AssetSelection.groups(*TRAINING) | RELEASE,
    tags=tags(priority=-1, minutes=24 * 60),
    description="Labels and prices to a router, which takes over if it beats the one in force.",
)
retrain_router = dg.define_asset_job(
    "retrain_router",
    selection=dg.AssetSelection.assets("labelled_instructions", "splits")
    | dg.AssetSelection.groups("router")
    | RELEASE,
    tags=tags(priority=-1, minutes=24 * 60),
    description="A challenger from the labels as they are now and all outcomes; prices stay as they are.",
)
recalibrate_router = dg.define_asset_job(
    "recalibrate_router",
    selection=dg.AssetSelection.assets("recalibrated_router") | RELEASE,
    tags=tags(priority=0, minutes=60),
    description="New temperatures, shifts and buckets for the router in force from recent outcomes; trains nothing.",
)
add_model = dg.define_asset_job(
    "add_model",
    selection=dg.AssetSelection.assets("model_catalog", "cost_model", "added_labels", "extended_router") | RELEASE,
    tags=tags(priority=0, minutes=60),
    description="A model joins the router in force by a few labels; trains nothing.",
)
route_batch = dg.define_asset_job(
    "route_batch",
    selection=dg.AssetSelection.groups(*ROUTING),
    partitions_def=batches,
    # A decision is traced by its run: one that was killed is made again from the start, in seconds.
    tags=tags(priority=2, minutes=60) | {"dagster/retry_strategy": "ALL_STEPS"},
    description="One batch: probabilities, costs, four allocations, the routed batch and its export.",
)


def routing_request(
    run_key: str, batch_id: str, request: Mapping[str, Any], tags: Mapping[str, str] | None = None
) -> dg.RunRequest:
    """A run of ``route_batch`` with the batch's own routing settings; an urgent one is taken from the queue first."""
    return dg.RunRequest(
        run_key=run_key,
        partition_key=batch_id,
        run_config={"resources": {"routing_request": {"config": dict(request)}}},
        tags={**(tags or {}), **(URGENT if request.get("urgent") else {})},
    )


record_outcomes = dg.define_asset_job(
    "record_outcomes",
    selection=dg.AssetSelection.assets("batch_outcomes"),
    partitions_def=batches,
    tags=tags(priority=1, minutes=60),
    description="Outcomes of one batch against what its decision promised.",
)
watch_router = dg.define_asset_job(
    "watch_router",
    selection=dg.AssetSelection.assets("calibration_drift"),
    tags=tags(priority=1, minutes=60),
    description="Whether the router's promises still hold.",
)
update_prices = dg.define_asset_job(
    "update_prices",
    selection=dg.AssetSelection.assets("model_catalog", "cost_model", "price_release"),
    tags=tags(priority=3, minutes=60),
    description="New prices, without training anything again.",
)
report_day = dg.define_asset_job(
    "report_day",
    selection=dg.AssetSelection.assets("daily_report"),
    tags=tags(priority=0, minutes=60),
    description="One day's report.",
)
evaluate_router = dg.define_asset_job(
    "evaluate_router",
    selection=dg.AssetSelection.assets("budget_curves"),
    tags=tags(priority=-2, minutes=24 * 60),
    description="Success against budget for every policy and control.",
)
