"""Withdrawal: a batch that did not go out is taken back, and money held for it is free again."""

from __future__ import annotations

import shutil

from routing_assets.errors import InvalidInput
from routing_assets.handoff import MANIFEST
from routing_assets.intake import intake_lock, latest_revision, outcome_files
from routing_assets.ledger import refuse_ended
from routing_assets.locks import batch_lock
from routing_assets.settings import Home
from routing_assets.sql import query
from routing_assets.warehouse import Warehouse


def withdraw_batch(home: Home, batch_id: str) -> None:
    """Remove a batch from the outbox for good, and enter that in the ledger, whose decisions on it stay as history.

    A run that is under way ends without a hand-off. A withdrawal that was interrupted is to be repeated.

    Raises:
        InvalidInput: no file was received for the batch, or it went out, or was withdrawn before.
    """
    with batch_lock(home, batch_id), intake_lock(home):  # neither hand-off nor outcomes may come in between
        latest_revision(home, batch_id)
        refuse_ended(home, batch_id)
        if outcome_files(home, batch_id):
            raise InvalidInput(f"outcomes of batch '{batch_id}' came, so it went out")
        folder = home.outbox / batch_id
        if folder.exists():
            (folder / MANIFEST).unlink(missing_ok=True)  # without it runners do not take the folder for complete
            shutil.rmtree(folder)
        with Warehouse(home.warehouse).transaction() as ledger:
            ledger.execute(query("withdraw_batch"), {"batch_id": batch_id})
            ledger.execute(query("release_batch"), {"batch_id": batch_id})
