"""How a batch ends: it is dispatched to the LLM runners, or withdrawn before that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.handoff import read_manifest
from routing_assets.batches.known import (
    decision_in_force,
    end_of_batch,
    intake_lock,
    latest_revision,
    outcome_files,
    refuse_ended,
)
from routing_assets.batches.outbox import MANIFEST
from routing_assets.batches.outcome_inbox import outcomes_wait
from routing_assets.batches.policy import GRADER
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import batch_lock
from routing_assets.storage.warehouse import Warehouse


def withdraw_batch(warehouse: Warehouse, folders: BatchFolders, batch_id: str) -> None:
    """Remove a batch from the outbox for good, and enter that in the ledger, whose decisions on it stay as history.

    A run that is under way ends without a hand-off. Repeat a withdrawal that was interrupted.

    Raises:
        InvalidInput: no file was received for the batch, or it went out, or was withdrawn before.
    """
    folder = folders.outbox / batch_id
    with batch_lock(folders.locks, batch_id), intake_lock(folders):  # no hand-off or outcomes in between
        latest_revision(warehouse, folders, batch_id)
        if end_of_batch(warehouse, batch_id) != "withdrawn" or not folder.exists():
            refuse_ended(warehouse, batch_id)
            _refuse_gone(warehouse, folders, batch_id)
            (folder / MANIFEST).unlink(missing_ok=True)  # tells runners that the folder is incomplete
            warehouse.append("withdrawals", pa.table({"batch_id": [batch_id]}))
        for left in (folders.staged / batch_id, folder):
            if left.exists():
                shutil.rmtree(left)


def _refuse_gone(warehouse: Warehouse, folders: BatchFolders, batch_id: str) -> None:
    """Raise InvalidInput if the batch has outcomes, or if the runners took its outbox folder."""
    if outcome_files(folders, batch_id) or outcomes_wait(warehouse, folders, batch_id):
        raise InvalidInput(f"batch '{batch_id}' has outcomes, so it was sent out")
    decided = warehouse.fetch("current_decision", {"batch_id": batch_id})
    if decided and not (folders.outbox / batch_id).exists():
        raise InvalidInput(
            f"batch '{batch_id}' is no longer in the outbox, so it was sent out",
            remedy=f"Record that with: routing-assets dispatch {batch_id}",
        )


def dispatch_batch(warehouse: Warehouse, folders: BatchFolders, batch_id: str) -> str | None:
    """Freeze the decision in force of a batch; returns its run, None where the batch is dispatched already.

    Raises:
        InvalidInput: the decision was made for an older file or request of the batch.
    """
    with batch_lock(folders.locks, batch_id), intake_lock(folders):  # so that no other file comes in between
        if end_of_batch(warehouse, batch_id) == "dispatched":
            return None
        refuse_ended(warehouse, batch_id)
        decision = decision_in_force(warehouse, batch_id)
        refuse_outdated(warehouse, folders, decision)
        row = {"batch_id": batch_id, "dagster_run_id": decision["dagster_run_id"]}
        folder = folders.outbox / batch_id  # which the runners may have taken away
        if folder.exists() and read_manifest(folder).dagster_run_id != row["dagster_run_id"]:
            raise InvalidInput(
                f"the outbox of batch '{batch_id}' holds files of a run that did not finish", remedy="Route it again."
            )
        warehouse.append("dispatches", pa.Table.from_pylist([row]))
    return str(row["dagster_run_id"])


def refuse_outdated(warehouse: Warehouse, folders: BatchFolders, decision: Mapping[str, Any]) -> None:
    """Raise InvalidInput for a decision that is older than the newest file or request of its batch."""
    newest = latest_revision(warehouse, folders, decision["batch_id"])
    if decision["file_sha256"] != newest.file_sha256:
        raise InvalidInput(
            f"batch '{newest.batch_id}' was not routed after its newest file arrived; "
            f"the decision in force is for the previous file, of {decision['instructions']} instructions",
            remedy="Route the newest file; if that failed, with another budget.",
        )
    decided = json.loads(decision["settings"])
    asked = {name: value for name, value in newest.request.items() if name != GRADER and value != decided.get(name)}
    if asked:
        raise InvalidInput(
            f"batch '{newest.batch_id}' was not routed after it was requested with {_settings(asked)}; "
            f"the decision in force was made with {_settings({name: decided.get(name) for name in asked})}",
            remedy="Route it with the settings you want; if that failed, with another budget.",
        )


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {'unset' if value is None else value}" for name, value in values.items())
