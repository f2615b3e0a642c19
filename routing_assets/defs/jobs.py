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
