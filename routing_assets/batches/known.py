"""Look up a batch: its files, its decision, and whether it has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from routing_assets.batches.folders import BatchFolders
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import is_plain, printable
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse


def known_batch(warehouse: Warehouse, name: str) -> str:
    """The id of the batch that is called ``name``, or that came as a file of this name which is not a plain id.

    Raises:
        InvalidInput: there is none, or more than one, or the file of a plain name became a batch of another id.
    """
    shown = printable(name)
    found = warehouse.fetch("batches_named", {"name": shown})
    ids = [row["batch_id"] for row in found]
    if found and (found[0]["is_its_id"] or (len(ids) == 1 and not is_plain(name))):
        return str(ids[0])
    if ids:
        raise InvalidInput(
            f"there is no batch '{shown}'; files of that name became {', '.join(ids)}", remedy="Give the batch's id."
        )
    raise InvalidInput(
        f"no file was received for batch '{shown}'",
        remedy="routing-assets batches lists those that are known; routing-assets route FILE adds one.",
    )


@dataclass(frozen=True)
class ReceivedBatch:
    """A batch that is in the ledger; ``revision`` counts the distinct files received under its id, ``request`` are its
    own routing settings.
    """

    batch_id: str
    file_sha256: str
    path: Path
    revision: int
    is_new: bool
    request: Mapping[str, Any] = field(default_factory=dict)
    replaced: int = 0
    """Instructions of the file of other content that it replaces."""
    renamed: bool = False
    """The file's name could not be the batch's."""
    repeats: tuple[str, ...] = ()
    """Batches that hold the same file, byte for byte."""
    read_as: tuple[str, ...] = ()
    """What is unusual in how the file is read, such as "separated by semicolons"."""

    @property
    def run_key(self) -> str:
        """Dagster never runs the same key twice, so the key holds content and revision."""
        return f"{self.batch_id}@{self.file_sha256[:16]}#{self.revision}"

    @property
    def remark(self) -> str:
        """Remarks for the sender, in words that follow the file's name; usually none."""
        said = {
            f"becomes batch '{self.batch_id}', which is its name in every command and folder": self.renamed,
            f"replaces the earlier file of {self.replaced} instructions of batch '{self.batch_id}'": self.replaced,
            f"has the same bytes as {_listed(self.repeats)}, and is paid for again": self.repeats,
            f"is read as: {', '.join(self.read_as)}": self.read_as,
        }
        return "; ".join(words for words, holds in said.items() if holds)


def latest_revision(warehouse: Warehouse, folders: BatchFolders, batch_id: str) -> ReceivedBatch:
    """The newest file received for a batch. Raises InvalidInput when the ledger knows none."""
    known = warehouse.fetch("batch_revisions", {"batch_id": batch_id})
    if not known:
        raise InvalidInput(
            f"no file was received for batch '{batch_id}'", remedy="Register it with routing-assets route FILE."
        )
    sha256, name = known[-1]["file_sha256"], Path(known[-1]["file_name"])
    kept = kept_file(folders, batch_id, sha256, name.suffix)
    request = json.loads(known[-1]["request"] or "{}")
    return ReceivedBatch(batch_id, sha256, kept, len(known), is_new=False, request=request)


def received_file(warehouse: Warehouse, folders: BatchFolders, batch_id: str, sha256: str) -> Path:
    """The file of this content that was received for a batch, which need not be its newest.

    Raises InvalidInput when the ledger knows none.
    """
    for row in warehouse.fetch("batch_revisions", {"batch_id": batch_id}):
        if row["file_sha256"] == sha256:
            return kept_file(folders, batch_id, sha256, Path(row["file_name"]).suffix)
    raise InvalidInput(f"no file of content {sha256[:16]} was received for batch '{batch_id}'")


def kept_file(folders: BatchFolders, batch_id: str, sha256: str, suffix: str) -> Path:
    """Where the bytes of a received file are kept."""
    return folders.received / batch_id / f"{sha256[:16]}{suffix.lower()}"


@contextmanager
def intake_lock(folders: BatchFolders) -> Iterator[None]:
    """A lock, so that one process at a time takes files in; that of a killed process is free. May be nested."""
    folders.root.mkdir(parents=True, exist_ok=True)
    with FileLock(folders.root / ".intake.lock", is_singleton=True):
        yield


def outcome_files(folders: BatchFolders, batch_id: str) -> list[Path]:
    """The outcome files received for a batch, earliest first."""
    return sorted((folders.received / batch_id / "outcomes").glob("[0-9]*"))


def end_of_batch(warehouse: Warehouse, batch_id: str) -> str | None:
    """How the batch ended: ``dispatched`` to the LLM runners, or ``withdrawn`` before that; None for an open one."""
    ends = warehouse.fetch("end_of_batch", {"batch_id": batch_id})
    return ends[0]["ended"] if ends else None


def refuse_ended(warehouse: Warehouse, batch_id: str, remedy: str = "") -> None:
    """Raise InvalidInput for a batch that was dispatched or withdrawn: it is frozen."""
    if ended := end_of_batch(warehouse, batch_id):
        raise InvalidInput(f"batch '{batch_id}' is {ended} and frozen", remedy=remedy)


def refuse_retired(warehouse: Warehouse, batch_id: str) -> None:
    """Raise InvalidInput for a batch whose data was deleted."""
    retired = warehouse.fetch("retirement_of", {"batch_id": batch_id})
    if retired:
        raise InvalidInput(
            f"batch '{batch_id}' was retired on {retired[0]['retired_at']:%Y-%m-%d}: {retired[0]['why']}"
        )


def decision_in_force(warehouse: Warehouse, batch_id: str) -> dict[str, Any]:
    """The ledger's entry for a batch. Raises InvalidInput when it was never routed, or withdrawn."""
    decisions = warehouse.fetch("current_decision", {"batch_id": batch_id})
    if not decisions and end_of_batch(warehouse, batch_id) == "withdrawn":
        raise InvalidInput(f"batch '{batch_id}' is withdrawn: no decision on it is in force")
    if not decisions:
        raise InvalidInput(f"batch '{batch_id}' is not routed", remedy="Route it first.")
    return decisions[0]


def routed_before(warehouse: Warehouse, store: Store, batch_id: str) -> pa.Table | None:
    """The routed table of the decision in force; None for a batch that was never routed."""
    decisions = warehouse.fetch("current_decision", {"batch_id": batch_id})
    return routed_by(store, decisions[0]) if decisions else None


def routed_by(store: Store, decision: Mapping[str, Any]) -> pa.Table:
    """The routed table of a decision, as the ledger names it."""
    return store.at(decision["routed_path"]).read()


def _listed(batch_ids: tuple[str, ...]) -> str:
    return f"batch {', '.join(map(repr, batch_ids[:3]))}{f' and {len(batch_ids) - 3} more' * (len(batch_ids) > 3)}"
