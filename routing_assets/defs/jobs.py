"""The jobs behind the command line, the sensors and the schedules."""

import dagster as dg

from routing_assets.defs.common import batches

TRAINING = ("labels", "prices", "router")
ROUTING = ("batches", "allocations", "routed")

train_router = dg.define_asset_job(
    "train_router",
    selection=dg.AssetSelection.groups(*TRAINING),
    description="Labels and prices to a router in force.",
)
route_batch = dg.define_asset_job(
    "route_batch",
    selection=dg.AssetSelection.groups(*ROUTING),
    partitions_def=batches,
    description="One batch: probabilities, costs, four allocations, the routed batch and its export.",
)
record_outcomes = dg.define_asset_job(
    "record_outcomes",
    selection=dg.AssetSelection.assets("batch_outcomes"),
    partitions_def=batches,
    description="Outcomes of one batch against what its decision promised.",
)
watch_router = dg.define_asset_job(
    "watch_router",
    selection=dg.AssetSelection.assets("calibration_drift"),
    description="Whether the router's promises still hold.",
)
update_prices = dg.define_asset_job(
    "update_prices",
    selection=dg.AssetSelection.assets("model_catalog", "cost_model"),
    description="New prices, without training anything again.",
)
evaluate_router = dg.define_asset_job(
    "evaluate_router",
    selection=dg.AssetSelection.assets("budget_curves"),
    description="Success against budget for every policy and control.",
)
