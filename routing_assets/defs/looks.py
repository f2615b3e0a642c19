"""Log messages of sensors about the files that they found."""

from __future__ import annotations

import dagster as dg

from routing_assets.batches.inbox import TakenIn


def tell(context: dg.SensorEvaluationContext, taken: TakenIn) -> None:
    """Log what happened to the files of one look."""
    for reason in (*taken.rejected, *taken.faults):
        context.log.error(reason)
    for reason in (*taken.held, *taken.waiting):
        context.log.warning(reason)
    for remark in taken.remarks:
        context.log.info(remark)
