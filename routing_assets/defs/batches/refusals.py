"""Batches that cannot be routed at present wait until something changes."""

import dagster as dg
import pyarrow as pa

from routing_assets.batches.stale import stale_batches
from routing_assets.defs.common import failure
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput


def refused(context: dg.AssetExecutionContext, home: RoutingHome, error: Exception) -> dg.Failure:
    """The failure of a batch whose budget or constraints cannot be kept.

    The warehouse records it with its inputs, so that the same attempt is not repeated. The events of the routed batch
    show the reason.
    """
    paths = home.paths()
    batch_id = context.partition_key
    for batch in stale_batches(paths.warehouse, paths.store, paths.folders, paths.policy_file):
        if batch.batch_id == batch_id:
            row = {
                "batch_id": batch_id,
                "dagster_run_id": context.run_id,
                "fingerprint": batch.fingerprint,
                "why": str(error),
            }
            paths.warehouse.append("refusals", pa.Table.from_pylist([row]))
    context.log_event(dg.AssetObservation("routed_batch", partition=batch_id, metadata={"not_routed": str(error)}))
    return failure(
        InvalidInput(
            str(error),
            remedy="It is tried again once its file, router, prices or policy change; "
            f"to take it back: routing-assets withdraw {batch_id}",
        )
    )
