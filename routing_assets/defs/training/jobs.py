"""The jobs that make, compare and release routers and prices."""

from __future__ import annotations

import dagster as dg

from routing_assets.defs.common import tags

RELEASE = dg.AssetSelection.assets("router_comparison", "router_release")


TRAINING = ("labels", "router")


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


update_prices = dg.define_asset_job(
    "update_prices",
    selection=dg.AssetSelection.assets("model_catalog", "cost_model", "price_release"),
    tags=tags(priority=3, minutes=60),
    description="New prices, without training anything again.",
)


evaluate_router = dg.define_asset_job(
    "evaluate_router",
    selection=dg.AssetSelection.assets("budget_curves"),
    tags=tags(priority=-2, minutes=24 * 60),
    description="Success against budget for every policy and control.",
)
