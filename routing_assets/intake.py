"""How batch files enter: checked, named, kept by content, entered in the ledger; or rejected with a reason."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from routing_assets.datasets import load_batch
from routing_assets.datasets.outcomes import load_outcomes
from routing_assets.errors import InvalidInput
from routing_assets.files import atomic_path, file_sha256
from routing_assets.ledger import decision_in_force, refuse_dispatched
from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse

_LONGEST_NAME = 80


@dataclass(frozen=True)
class ReceivedBatch:
    """A batch that is in the ledger; ``revision`` counts the distinct files received under its id."""

    batch_id: str
    file_sha256: str
    path: Path
    revision: int
    is_new: bool

    @property
    def run_key(self) -> str:
        """Dagster forgets no run key, so the key carries content and revision."""
        return f"{self.batch_id}@{self.file_sha256[:16]}#{self.revision}"


def batch_id_of(file_name: str) -> str:
    """A partition key from a file name: its stem where that is plain, else a plain form with a hash of the name."""
    stem = Path(file_name).stem
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-")[:_LONGEST_NAME]
    if plain == stem:
        return plain
    return f"{plain or 'batch'}-{hashlib.sha256(file_name.encode(errors='surrogateescape')).hexdigest()[:8]}"


def receive(
    home: Home, path: Path, *, batch_id: str | None = None, request: Mapping[str, Any] | None = None, move: bool = False
) -> ReceivedBatch:
    """Check a batch file, enter it in the ledger and keep its bytes under ``received/``.

    Args:
        path: Parquet, CSV, JSONL or OpenAI Batch JSONL.
        batch_id: the partition key; from the file name when absent.
        request: the batch's own routing settings; None follows the standing policy.
        move: claim the file (one rename) instead of copying it.

    Raises:
        InvalidInput: the file is no usable batch, or the batch is dispatched; nothing was recorded.
    """
    batch_id = batch_id_of(batch_id or path.name)
    refuse_dispatched(home, batch_id)
    instructions = len(load_batch(path))
    sha256 = file_sha256(path)
    kept = kept_file(home, batch_id, sha256, path.suffix)
    warehouse = Warehouse(home.warehouse)
    known = warehouse.fetch("batch_revisions", {"batch_id": batch_id})
    request_json = json.dumps(request, sort_keys=True) if request else None
    is_new = not known or known[-1]["file_sha256"] != sha256 or known[-1]["request"] != request_json
    if is_new:
        row = {
            "batch_id": batch_id,
            "file_name": path.name,
            "file_sha256": sha256,
            "instructions": instructions,
            "request": request_json,
        }
        warehouse.append("batches", pa.Table.from_pylist([row]))
    kept.parent.mkdir(parents=True, exist_ok=True)
    if move:
        os.replace(path, kept)
    elif not kept.exists():
        with atomic_path(kept) as temporary:
            shutil.copyfile(path, temporary)
    return ReceivedBatch(batch_id, sha256, kept, len(known) + is_new, is_new)


def latest_revision(home: Home, batch_id: str) -> ReceivedBatch:
    """The newest file received for a batch. Raises InvalidInput when the ledger knows none."""
    known = Warehouse(home.warehouse).fetch("batch_revisions", {"batch_id": batch_id})
    if not known:
        raise InvalidInput(
            f"no file was received for batch '{batch_id}'", remedy="Register it with routing-assets route FILE."
        )
    sha256, name = known[-1]["file_sha256"], Path(known[-1]["file_name"])
    kept = kept_file(home, batch_id, sha256, name.suffix)
    return ReceivedBatch(batch_id, sha256, kept, len(known), is_new=False)


def kept_file(home: Home, batch_id: str, sha256: str, suffix: str) -> Path:
    """Where the bytes of a received file are kept."""
    return home.received / batch_id / f"{sha256[:16]}{suffix.lower()}"


def whole_files(inbox: Path, before: Mapping[str, list[int]]) -> tuple[list[Path], dict[str, list[int]]]:
    """Files that did not change since the tick before, oldest first, and what this tick saw.

    Hidden files, folders and links are no batches.
    """
    files = [path for path in inbox.iterdir() if path.is_file() and not path.is_symlink() and path.name[0] != "."]
    seen = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}
    whole = [path for path in files if before.get(path.name) == seen[path.name]]
    return sorted(whole, key=lambda path: (seen[path.name][1], path.name)), seen


def receive_outcomes(home: Home, path: Path, batch_id: str, *, move: bool = False) -> Path:
    """Check an outcome file and keep its bytes beside the batch's; the same bytes are kept once.

    Raises:
        InvalidInput: the file holds no usable outcomes, or the batch was never routed.
    """
    decision_in_force(home, batch_id)
    load_outcomes(path)
    folder = home.received / batch_id / "outcomes"
    sha256 = file_sha256(path)
    known = sorted(folder.glob(f"*-{sha256[:16]}.*"))
    kept = known[0] if known else folder / f"{time.time_ns():020d}-{sha256[:16]}{path.suffix.lower()}"
    with atomic_path(kept) as temporary:
        shutil.copyfile(path, temporary)
    if move:
        path.unlink()
    return kept


def outcome_files(home: Home, batch_id: str) -> list[Path]:
    """The outcome files received for a batch, earliest first."""
    return sorted((home.received / batch_id / "outcomes").glob("[0-9]*"))


def reject(home: Home, path: Path, reason: str) -> Path:
    """Move a file to ``inbox/rejected/`` with its reason beside it; an earlier rejected file is never overwritten."""
    home.rejected.mkdir(parents=True, exist_ok=True)
    target = home.rejected / f"{file_sha256(path)[:8]}-{batch_id_of(path.name)}{path.suffix.lower()[:16]}"
    with atomic_path(target.with_name(f"{target.name}.reason.txt")) as temporary:
        temporary.write_text(f"{path.name!r} was rejected: {reason}\n", encoding="utf-8")
    os.replace(path, target)
    return target
