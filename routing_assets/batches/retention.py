"""Retention: the data and partitions of old batches are deleted, never their entries in the ledger."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.known import intake_lock
from routing_assets.batches.policy import read_policy
from routing_assets.batches.receive import held_reason
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import PARTIAL, file_sha256
from routing_assets.foundation.locks import batch_lock
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

LEFT_BEHIND_S = 24 * 3600.0
"""A temporary file this old belongs to a process that was killed."""


def retirement_day(policy_file: Path, now: datetime | None = None) -> datetime | None:
    """Batches that ended before this moment are retired by the policy file; None where it has no retention_days."""
    days = read_policy(policy_file).retention_days
    return None if days is None else (now or datetime.now(UTC)) - timedelta(days=days)


@dataclass(frozen=True)
class Retirable:
    """A batch that ended, and what retirement would delete of it."""

    batch_id: str
    ended: str
    """``dispatched`` or ``withdrawn``."""
    ended_at: datetime
    bytes: int


def retirable_batches(warehouse: Warehouse, store: Store, folders: BatchFolders, before: datetime) -> list[Retirable]:
    """Every batch that a retirement of what ended before ``before`` would delete, in the order in which they ended."""
    return [
        Retirable(row["batch_id"], row["ended"], row["ended_at"], _bytes_of(store, folders, row["batch_id"]))
        for row in warehouse.fetch("retirable_batches", {"before": before})
    ]


def retire_batches(warehouse: Warehouse, store: Store, folders: BatchFolders, before: datetime) -> list[str]:
    """Retire every batch that was dispatched or withdrawn before ``before``; returns their ids.

    The retirement is entered first: one that was interrupted is finished by the next call. Outcomes that come later
    are refused, and a replay says that the inputs were retired, when and why. Partitions, and labels made of the
    outcomes, are further steps.

    Raises:
        InvalidInput: ``before`` lies in the future: what would end until then is not known yet.
    """
    refuse_future(before)
    retired = []
    for row in warehouse.fetch("retirable_batches", {"before": before}):
        why = f"{row['ended']} on {_moment(row['ended_at'])}, before {_moment(before)}"
        warehouse.append("retirements", pa.Table.from_pylist([{"batch_id": row["batch_id"], "why": why}]))
        retired.append(row["batch_id"])
    for batch_id in retired_batches(warehouse):
        with batch_lock(folders.locks, batch_id):
            for folder in folders_of(store, folders, batch_id):
                shutil.rmtree(folder)
    remove_set_aside(warehouse, folders)
    store.remove_unfinished(time.time() - LEFT_BEHIND_S)
    return retired


def retired_batches(warehouse: Warehouse) -> list[str]:
    """Ids of all batches that were ever retired."""
    return [row["batch_id"] for row in warehouse.fetch("retirements")]


def refuse_future(before: datetime) -> None:
    """Raise InvalidInput for a moment that is still to come."""
    if before > datetime.now(UTC):
        raise InvalidInput(
            f"{_moment(before)} is in the future, and batches that ended today would be deleted",
            remedy="Give today's date (UTC) or an earlier one.",
        )


def _bytes_of(store: Store, folders: BatchFolders, batch_id: str) -> int:
    files = (path for folder in folders_of(store, folders, batch_id) for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def folders_of(store: Store, folders: BatchFolders, batch_id: str) -> list[Path]:
    """Where the data of a batch lies: received files, tables of its assets, outcomes, its page, and the outbox."""
    roots = (folders.received, folders.outbox, folders.staged, folders.outcomes, folders.pages)
    own = [root / batch_id for root in roots]
    return [folder for folder in [*own, *store.root.glob(f"*/{batch_id}")] if folder.is_dir()]


def remove_leftovers(*roots: Path, now: float | None = None) -> int:
    """Remove temporary files under ``roots`` of processes that were killed long ago; returns how many."""
    removed = 0
    for root in roots:
        for path in list(root.rglob(f".*{PARTIAL}")):  # a batch's folder may end so, but never begins with a dot
            if (now or time.time()) - path.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
    return removed


def remove_set_aside(warehouse: Warehouse, folders: BatchFolders) -> list[Path]:
    """Remove files in the inbox's folders for rejected and held files that hold a retired batch, by name or by content;
    returns which.
    """
    retired = {row["batch_id"] for row in warehouse.fetch("retirements")}
    contents = {row["file_sha256"] for row in warehouse.fetch("retired_files")}
    removed = []
    with intake_lock(folders):
        for path in sorted(folders.inbox.glob("*/*")):
            if not path.is_file() or path.is_symlink() or path.parent == folders.claimed:
                continue
            name = re.sub(r"^\d{20}-", "", path.name)  # as rejected files are numbered
            if Path(name).stem in retired or name in retired or file_sha256(path) in contents:
                removed.append(path)
        for path in removed:
            for beside in (path, path.with_name(f"{path.name}.reason.txt"), held_reason(path)):
                beside.unlink(missing_ok=True)
    return removed
