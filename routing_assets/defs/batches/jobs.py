"""The job that routes a batch, and its run requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from routing_assets.defs.common import batches, tags

URGENT = {"dagster/priority": "10"}


route_batch = dg.define_asset_job(
    "route_batch",
    selection=dg.AssetSelection.groups("batches"),
    partitions_def=batches,
    # A decision is traced by its run, so a killed one is made again from the start; that takes seconds.
    tags=tags(priority=2, minutes=60) | {"dagster/retry_strategy": "ALL_STEPS"},
    description="One batch: probabilities, costs, four allocations, the routed batch, its export and its page.",
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
