"""Withdrawal: a batch that did not go out is taken back, and money held for it is free again."""

from __future__ import annotations

import shutil

import pyarrow as pa

from routing_assets.errors import InvalidInput
from routing_assets.handoff import MANIFEST
from routing_assets.intake import intake_lock, latest_revision, outcome_files
from routing_assets.ledger import end_of_batch, refuse_ended
from routing_assets.locks import batch_lock
from routing_assets.outcome_inbox import outcomes_wait
from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse


def withdraw_batch(home: Home, batch_id: str) -> None:
    """Remove a batch from the outbox for good, and enter that in the ledger, whose decisions on it stay as history.

    A run that is under way ends without a hand-off. A withdrawal that was interrupted is to be repeated.

    Raises:
        InvalidInput: no file was received for the batch, or it went out, or was withdrawn before.
    """
    folder = home.outbox / batch_id
    with batch_lock(home, batch_id), intake_lock(home):  # neither hand-off nor outcomes may come in between
        latest_revision(home, batch_id)
        if end_of_batch(home, batch_id) != "withdrawn" or not folder.exists():
            refuse_ended(home, batch_id)
            _refuse_gone(home, batch_id)
            (folder / MANIFEST).unlink(missing_ok=True)  # without it runners do not take the folder for complete
            Warehouse(home.warehouse).append("withdrawals", pa.table({"batch_id": [batch_id]}))
        for left in (home.staged / batch_id, folder):
            if left.exists():
                shutil.rmtree(left)


def _refuse_gone(home: Home, batch_id: str) -> None:
    """Raise InvalidInput where outcomes came, or where the runners took the outbox folder away."""
    if outcome_files(home, batch_id) or outcomes_wait(home, batch_id):
        raise InvalidInput(f"outcomes of batch '{batch_id}' came, so it went out")
    decided = Warehouse(home.warehouse).fetch("current_decision", {"batch_id": batch_id})
    if decided and not (home.outbox / batch_id).exists():
        raise InvalidInput(
            f"batch '{batch_id}' is not in the outbox any more, so it went out",
            remedy=f"Enter that with: routing-assets dispatch {batch_id}",
        )
