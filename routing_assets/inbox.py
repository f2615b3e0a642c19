"""The inbox: whole files are claimed by a rename, one group per batch, and taken in; an interrupted intake goes on.

A claim is a folder ``inbox/.claimed/<batch id>`` that holds the files of one batch. It disappears only when the batch
is in the ledger or its files are rejected, and every step before that may be repeated.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from routing_assets.coalescing import Coalescing, SmallFile, due, join_files, shape_of
from routing_assets.datasets import load_batch
from routing_assets.errors import InvalidInput
from routing_assets.files import file_sha256
from routing_assets.intake import ReceivedBatch, intake_lock, receive, reject
from routing_assets.ledger import end_of_batch
from routing_assets.names import batch_id_of, printable, told_apart
from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse

BATCH_ENDINGS = (".parquet", ".pq", ".csv", ".jsonl", ".ndjson")
LONGEST_TICK_S = 30.0
"""Files beyond what this time suffices for stay in the inbox until the next look."""

URGENT_MARK = ".urgent"
"""Before the ending of its name, it marks a file that may use the month's reserve and waits for no other."""

_UNREAD = 3
"""Length of the entry in ``Seen`` of a file that was not read."""

UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")
"""Endings under which programs write what they rename once it is whole."""

Seen = dict[str, list[Any]]
"""By file name: bytes, time of change, since when it is so (both in ns); of a small file that waits, also its number
of instructions, its hash and its shape, so that it is read once.
"""


@dataclass
class TakenIn:
    """What one look into the inbox came to."""

    received: list[ReceivedBatch] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    """Why, and where the file is now."""
    remarks: list[str] = field(default_factory=list)
    seen: Seen = field(default_factory=dict)
    """To be given to the next look."""


def take_in(
    home: Home,
    before: Mapping[str, list[Any]],
    coalescing: Coalescing | None = None,
    *,
    strict: bool = False,
    now_ns: int | None = None,
) -> TakenIn:
    """Take in every file of the inbox that did not change since the look before.

    Args:
        before: what that look saw.
        coalescing: small files wait for each other; None: each file is a batch.
        strict: refuse a file of which a single record cannot be routed.
    """
    with intake_lock(home):
        files, seen = whole_files(home.inbox, before, now_ns)
        taken, until = TakenIn(seen=seen), time.monotonic() + LONGEST_TICK_S
        for path in strange_entries(home.inbox):
            _reject(home, path, "it is a link, pipe or folder, not a file. Put the file itself here", taken)
        for claim in sorted(path for path in home.claimed.glob("*") if path.is_dir()):
            _finish(home, claim, taken, strict)
        if coalescing is not None:
            files = _join_small(home, files, seen, coalescing, now_ns or time.time_ns(), taken, strict)
        of_batch: dict[str, list[Path]] = {}
        for file in files:
            of_batch.setdefault(batch_id_of(file.name), []).append(file)
        for name, same in of_batch.items():
            if time.monotonic() > until:
                break
            newest = None
            for file in reversed(same):
                if newest is not None:
                    _reject(
                        home, file, f"'{newest}' is newer and the same batch, '{name}'. Give it another name", taken
                    )
                elif _finish(home, _claim(home, name, [file]), taken, strict):
                    newest = printable(file.name)
        return taken


def whole_files(inbox: Path, before: Mapping[str, list[Any]], now_ns: int | None = None) -> tuple[list[Path], Seen]:
    """Files that did not change since the look before, oldest first, and what this look saw.

    Hidden and unfinished files, folders, links and pipes are no batches.
    """
    now_ns = now_ns or time.time_ns()
    seen: Seen = {}
    for entry in _visible(inbox):
        if entry.is_file(follow_symlinks=False):
            state = [entry.stat().st_size, entry.stat().st_mtime_ns]
            known = before.get(entry.name, [])
            seen[entry.name] = known if known[:2] == state else [*state, now_ns]
    whole = [inbox / name for name, state in seen.items() if before.get(name) == state]
    return sorted(whole, key=lambda path: (seen[path.name][1], path.name)), seen


def is_urgent(file: Path) -> bool:
    """Whether the name says so: ``weekly.urgent.jsonl``."""
    return Path(file.stem).suffix.lower() == URGENT_MARK


def strange_entries(inbox: Path) -> list[Path]:
    """What is named like a batch file, or is neither file nor folder, but is no file."""
    return [
        Path(entry.path)
        for entry in _visible(inbox)
        if not entry.is_file(follow_symlinks=False)
        and (entry.name.lower().endswith(BATCH_ENDINGS) or not entry.is_dir(follow_symlinks=False))
    ]


def _visible(inbox: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(inbox) as entries:
        yield from (e for e in entries if not e.name.startswith(".") and not e.name.lower().endswith(UNFINISHED))


def _claim(home: Home, batch_id: str, files: list[Path]) -> Path:
    folder = home.claimed / batch_id
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        os.replace(file, folder / file.name)
    return folder


def _finish(home: Home, claim: Path, taken: TakenIn, strict: bool) -> bool:
    """Take in the files of a claim, together or else one by one, or reject them; returns whether a batch came of it."""
    before = len(taken.received)
    files = sorted(path for path in claim.iterdir() if path.name[0] != ".")
    if len(files) > 1:
        try:
            taken.received.append(_receive_joined(home, claim, files))
            return True
        except InvalidInput as error:
            taken.remarks.append(f"{claim.name} cannot be one batch: {error}")
    for file in files:
        try:
            request = {"urgent": True} if is_urgent(file) else None
            received = receive(home, file, request=request, move=True, strict=strict)
            taken.received.append(received)
            if received.remark:
                taken.remarks.append(f"{printable(file.name)} {received.remark}")
        except InvalidInput as error:
            _reject(home, file, str(error.of(None)), taken)
    shutil.rmtree(claim)
    return len(taken.received) > before


def _receive_joined(home: Home, claim: Path, files: list[Path]) -> ReceivedBatch:
    """Make one batch of several files; the files are kept beside it, moved in one step once the ledger has it."""
    sources: dict[str, Path] = {}
    for file in files:
        own = batch_id_of(file.name)
        sources[told_apart(own, file.name) if own in sources else own] = file
    received = receive(home, join_files(sources, claim / f".{claim.name}"), batch_id=claim.name, move=True)
    rows = [
        {
            "batch_id": received.batch_id,
            "source_id": own,
            "file_name": printable(file.name),
            "file_sha256": file_sha256(file),
        }
        for own, file in sources.items()
    ]
    if _batch_with(home, files[0], file_sha256(files[0])) != received.batch_id:
        Warehouse(home.warehouse).append("joined_files", pa.Table.from_pylist(rows))
    os.replace(claim, received.path.parent / "sources")
    return received


def _join_small(
    home: Home, files: list[Path], seen: Seen, settings: Coalescing, now_ns: int, taken: TakenIn, strict: bool
) -> list[Path]:
    """Take in the groups of small files that are due; returns the files that are large or alone."""
    large, small = [], []
    for file in files:
        state = seen[file.name]
        try:
            if len(state) == _UNREAD:
                state += _measured(file)
        except InvalidInput:
            large.append(file)  # rejected where it is received
            continue
        size, sha256, joinable, *shape = state[_UNREAD:]
        known = _batch_with(home, file, sha256)
        if known is not None and (ended := end_of_batch(home, known)):
            reason = f"batch '{known}', which is {ended} and frozen, has it byte for byte. Give it another name"
            _reject(home, file, reason, taken)
        elif known is not None:
            taken.remarks.append(f"{printable(file.name)} is in batch {known} already, byte for byte")
            file.unlink()
        elif joinable and size < settings.below and not is_urgent(file):
            small.append(SmallFile(file, size, tuple(shape), (now_ns - state[2]) / 60e9))
        else:
            large.append(file)
    for group in due(small, settings):
        paths = [file.path for file in group]
        if len(paths) == 1:
            large += paths
        else:
            _finish(home, _claim(home, _joined_id(paths), paths), taken, strict)
    return large


def _measured(file: Path) -> list[Any]:
    """Instructions, hash, whether all of it can be routed, and shape: a file that is set aside in part joins none."""
    batch = load_batch(file)
    return [len(batch), file_sha256(file), not batch.set_aside, *shape_of(file, batch)]


def _joined_id(files: list[Path]) -> str:
    digest = hashlib.sha256("".join(f"{file.name!r} {file_sha256(file)}" for file in files).encode())
    return f"joined-{datetime.now(UTC):%Y%m%dT%H%M%S}-{digest.hexdigest()[:8]}"


def _batch_with(home: Home, file: Path, sha256: str) -> str | None:
    """The batch that has this very file, of this hash, already."""
    parameters = {"file_name": printable(file.name), "file_sha256": sha256}
    known = Warehouse(home.warehouse).fetch("batch_with_file", parameters)
    return known[0]["batch_id"] if known else None


def _reject(home: Home, path: Path, reason: str, taken: TakenIn) -> None:
    taken.rejected.append(f"{reason}; moved to {reject(home, path, reason)}")
