"""The job that reports on a day."""

from __future__ import annotations

import dagster as dg

from routing_assets.defs.common import tags

report_day = dg.define_asset_job(
    "report_day",
    selection=dg.AssetSelection.assets("daily_report"),
    tags=tags(priority=0, minutes=60),
    description="One day's report.",
)
