"""The dynamic partitions of Dagster's instance: one per batch."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

BATCHES = "batches"


def forget_partitions(instance: dg.DagsterInstance, batch_ids: Iterable[str]) -> None:
    """Delete the partitions of these batches; those that do not exist are skipped."""
    known = set(instance.get_dynamic_partitions(BATCHES))
    for batch_id in batch_ids:
        if batch_id in known:
            instance.delete_dynamic_partition(BATCHES, batch_id)
