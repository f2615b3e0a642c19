"""Compare the outcomes of a routed batch with its predictions, and record them in the ledger."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.known import (
    decision_in_force,
    intake_lock,
    outcome_files,
    refuse_retired,
)
from routing_assets.batches.ledger import record_outcomes, record_realised_traffic
from routing_assets.batches.receive import private_copy
from routing_assets.datasets.outcomes import (
    load_outcomes,
    match_outcomes,
    merge_outcomes,
    named,
    require_usable,
    strays,
)
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import file_sha256
from routing_assets.foundation.locks import batch_lock
from routing_assets.foundation.names import printable
from routing_assets.monitoring.realised import Realised, realised
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

_ROUTED = ("instruction_id", "model", "expected_success", "cost")


@dataclass(frozen=True, eq=False)
class RecordedOutcomes:
    """``matched``: the routed rows with what came of them; ``conflicts``: outcomes that contradict another."""

    matched: pa.Table
    realised: Realised
    files: int
    conflicts: int


def record_batch_outcomes(
    warehouse: Warehouse, store: Store, folders: BatchFolders, batch_id: str, run_id: str
) -> RecordedOutcomes:
    """Match every outcome file received for a batch with its decision, and freeze the batch.

    The batch is locked meanwhile, so that no other decision can come between.

    Raises:
        InvalidInput: the batch was never routed, or no outcomes of it came yet.
    """
    with batch_lock(folders.locks, batch_id):
        files = [load_outcomes(path) for path in outcome_files(folders, batch_id)]
        decisions = warehouse.fetch("current_decision", {"batch_id": batch_id})
        if not decisions or not files:
            raise InvalidInput(f"batch '{batch_id}' has no decision or no outcomes yet")
        decided = decisions[0]
        routed = store.at(decided["routed_path"]).read(_ROUTED)
        outcomes = merge_outcomes(*files)
        require_usable(routed, outcomes)  # again, for the batch may have been routed again since they were received
        matched, _ = match_outcomes(routed, outcomes)
        result = realised(routed, outcomes)
        instructions = store.parts("batch_instructions", batch_id, decided["dagster_run_id"])
        with warehouse.transaction() as ledger:
            record_realised_traffic(ledger, batch_id, run_id, matched, instructions)
            record_outcomes(ledger, decided, result, run_id=run_id)
    return RecordedOutcomes(matched, result, len(files), outcomes.conflicts)


def receive_outcomes(
    warehouse: Warehouse, store: Store, folders: BatchFolders, path: Path, batch_id: str, *, move: bool = False
) -> list[str]:
    """Check an outcome file and keep its bytes beside the batch's; the same bytes are kept once.

    Returns:
        What of the file is not used: rows that are not of this batch as it was routed, and columns.

    Raises:
        InvalidInput: the file holds no usable outcomes of the batch, or the batch was never routed.
    """
    with intake_lock(folders):
        decision = decision_in_force(warehouse, batch_id)
        refuse_retired(warehouse, batch_id)
        with private_copy(folders, path) as copy:
            try:
                remarks = _checked_outcomes(store, copy, decision)
            except InvalidInput as error:
                raise error.of(str(path)) from error
            sha256 = file_sha256(copy)
            folder = folders.received / batch_id / "outcomes"
            folder.mkdir(parents=True, exist_ok=True)
            known = sorted(folder.glob(f"*-{sha256[:16]}.*"))
            kept = known[0] if known else folder / f"{time.time_ns():020d}-{sha256[:16]}{path.suffix.lower()}"
            os.replace(copy, kept)
        if move:
            path.unlink()
        return remarks


def _checked_outcomes(store: Store, path: Path, decision: Mapping[str, Any]) -> list[str]:
    """The unused parts of a usable file. Raises InvalidInput for an unusable one: outcomes freeze their batch."""
    outcomes, routed = load_outcomes(path), store.at(decision["routed_path"]).read(_ROUTED)
    require_usable(routed, outcomes)
    remarks = []
    if unknown := strays(routed, outcomes):
        remarks.append(f"{len(unknown)} outcomes are not used: they match no assignment of the batch: {named(unknown)}")
    if outcomes.conflicts:
        remarks.append(f"{outcomes.conflicts} pairs of instruction and model have different outcomes; the last counts")
    if outcomes.unused:
        remarks.append(f"columns that are not used: {', '.join(map(printable, outcomes.unused))}")
    return remarks
