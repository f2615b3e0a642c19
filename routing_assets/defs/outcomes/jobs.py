"""The jobs that take outcomes in and watch the router."""

from __future__ import annotations

import dagster as dg

from routing_assets.defs.common import batches, tags

record_outcomes = dg.define_asset_job(
    "record_outcomes",
    selection=dg.AssetSelection.assets("answers", "grades", "batch_outcomes", "batch_page"),
    partitions_def=batches,
    tags=tags(priority=1, minutes=60),
    description="The answers of one batch, their grades, its outcomes compared with the predictions, and its page.",
)


watch_router = dg.define_asset_job(
    "watch_router",
    selection=dg.AssetSelection.assets("calibration_drift"),
    tags=tags(priority=1, minutes=60),
    description="Whether the router's predictions still hold.",
)
