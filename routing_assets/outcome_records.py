"""What came of a routed batch, set against what its decision promised, and entered in the ledger."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from routing_assets.datasets.outcomes import (
    Realised,
    load_outcomes,
    match_outcomes,
    merge_outcomes,
    realised,
    require_usable,
)
from routing_assets.errors import InvalidInput
from routing_assets.intake import outcome_files
from routing_assets.ledger import decision_in_force, record_outcomes, record_realised_traffic, routed_before
from routing_assets.locks import batch_lock
from routing_assets.settings import Home
from routing_assets.store import Store
from routing_assets.warehouse import Warehouse


@dataclass(frozen=True, eq=False)
class RecordedOutcomes:
    """``matched``: the routed rows with what came of them; ``conflicts``: outcomes that contradict another."""

    matched: pa.Table
    realised: Realised
    files: int
    conflicts: int


def record_batch_outcomes(home: Home, batch_id: str, run_id: str) -> RecordedOutcomes:
    """Match every outcome file received for a batch with its decision, and freeze the batch: it went out.

    The batch is locked meanwhile, so that no other decision can come between.

    Raises:
        InvalidInput: the batch was never routed, or no outcomes of it came yet.
    """
    with batch_lock(home, batch_id):
        files = [load_outcomes(path) for path in outcome_files(home, batch_id)]
        routed = routed_before(home, batch_id)
        if routed is None or not files:
            raise InvalidInput(f"batch '{batch_id}' has no decision or no outcomes yet")
        outcomes = merge_outcomes(*files)
        require_usable(routed, outcomes)  # again, for the batch may have been routed again since they were received
        matched, _ = match_outcomes(routed, outcomes)
        result = realised(routed, outcomes)
        decided = decision_in_force(home, batch_id)
        instructions = Store(home.store).read("batch_instructions", batch_id, decided["dagster_run_id"])
        with Warehouse(home.warehouse).transaction() as ledger:
            record_realised_traffic(ledger, batch_id, run_id, matched, instructions)
            record_outcomes(ledger, decided, result, run_id=run_id)
    return RecordedOutcomes(matched, result, len(files), outcomes.conflicts)
