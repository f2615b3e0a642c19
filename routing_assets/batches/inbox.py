"""The inbox: whole files are claimed by a rename, one group per batch, and taken in; an interrupted intake goes on.

A claim is a folder ``inbox/.claimed/<batch id>`` that holds the files of one batch. It disappears only when the batch
is in the ledger or its files are rejected or held, and every step before that may be repeated. Claims are independent:
one that fails because of the environment is tried again at the next look, and stops no other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.join_small_files import Coalescing, SmallFile, due, join_files, shape_of
from routing_assets.batches.known import ReceivedBatch, end_of_batch, intake_lock
from routing_assets.batches.receive import (
    ORDINARY,
    Admission,
    Duplicate,
    duplicate_of,
    held_reason,
    hold,
    receive,
    reject,
    repeated_batches,
)
from routing_assets.datasets.containers import ENDINGS
from routing_assets.datasets.file_layout import refuse_divided_texts
from routing_assets.datasets.portions import open_batch
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import file_sha256
from routing_assets.foundation.names import batch_id_of, printable, stem_of, told_apart
from routing_assets.storage.warehouse import Warehouse

LONGEST_TICK_S = 30.0
"""Seconds per look. Files that do not fit into this time stay in the inbox until the next look."""

URGENT_MARK = ".urgent"
"""Before the ending of its name, it marks a file that may use the month's reserve and waits for no other."""

_STRANGE = (
    "it is a link, pipe or folder, not a file. Put the file itself here; of a folder of part files, with _SUCCESS"
)

_UNREAD = 3
"""Length of the entry in ``Seen`` of a file that was not read."""

UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")
"""Endings of files that are still being written: programs rename them when they are complete."""

_LOOKED_AT = Admission(may_repeat=True)
"""For a file that was joined here from others, which were checked for duplicates one by one."""

ENVIRONMENT = (OSError, duckdb.Error)
"""Errors that may be gone at the next look: a full disk, a permission, a database that another process holds."""

Seen = dict[str, list[Any]]
"""By file name: bytes, time of change, since when it is so (both in ns); of a small file that waits, also its number
of instructions, its hash and its shape, so that it is read once.
"""


@dataclass
class TakenIn:
    """The result of one look into the inbox."""

    received: list[ReceivedBatch] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    """Why, and where the file is now."""
    held: list[str] = field(default_factory=list)
    """Why, and where the file is now."""
    waiting: list[str] = field(default_factory=list)
    """What failed at this look, and will be tried again at the next."""
    faults: list[str] = field(default_factory=list)
    """Tracebacks of unexpected errors."""
    remarks: list[str] = field(default_factory=list)
    seen: Seen = field(default_factory=dict)
    """Pass this to the next look."""


@contextmanager
def standing_alone(taken: TakenIn, name: str) -> Iterator[None]:
    """A failure in this block is reported, and the block is tried again at the next look."""
    try:
        yield
    except Exception as error:
        taken.waiting.append(f"{printable(name)} waits for the next look: {type(error).__name__}: {error}")
        if not isinstance(error, ENVIRONMENT):
            taken.faults.append(traceback.format_exc())


@contextmanager
def usable(folders: BatchFolders, file: Path, taken: TakenIn) -> Iterator[None]:
    """A file that turns out to be unusable in this block is rejected, or held where another batch holds it."""
    try:
        yield
    except Duplicate as error:
        taken.held.append(f"{error.of(None)} It is kept in {hold(folders, file, str(error.of(None)))}")
    except InvalidInput as error:
        _reject(folders, file, str(error.of(None)), taken)
    except ENVIRONMENT:
        raise
    except Exception as error:
        taken.faults.append(traceback.format_exc())
        fault = f"it cannot be read: the file or this program is at fault ({type(error).__name__}: {error})"
        _reject(folders, file, fault, taken)


def take_in(
    warehouse: Warehouse,
    folders: BatchFolders,
    before: Mapping[str, list[Any]],
    coalescing: Coalescing | None = None,
    *,
    admission: Admission = ORDINARY,
    now_ns: int | None = None,
) -> TakenIn:
    """Take in every file of the inbox that did not change since the look before.

    Args:
        before: what that look saw.
        coalescing: small files wait for each other; None: each file is a batch.
        admission: which files may become batches; a file that another batch holds byte for byte is held by default.
    """
    with intake_lock(folders):
        taken, until = TakenIn(), time.monotonic() + LONGEST_TICK_S
        if admission.may_repeat:
            with standing_alone(taken, folders.held.name):
                _release_held(folders)
        files, taken.seen = whole_files(folders.inbox, before, now_ns)
        for path in strange_entries(folders.inbox):
            with standing_alone(taken, path.name):
                _reject(folders, path, _STRANGE, taken)
        for claim in sorted(path for path in folders.claimed.glob("*") if path.is_dir()):
            with standing_alone(taken, claim.name):
                _finish(warehouse, folders, claim, taken, admission)
        if coalescing is not None:
            joining = _Joining(warehouse, folders, coalescing, taken, admission)
            files = joining.join(files, now_ns or time.time_ns())
        of_batch: dict[str, list[Path]] = {}
        for file in files:
            of_batch.setdefault(batch_id_of(file.name), []).append(file)
        for name, same in of_batch.items():
            if time.monotonic() > until:
                break
            with standing_alone(taken, name):
                _take_in_newest(warehouse, folders, name, same, taken, admission)
        return taken


def whole_files(inbox: Path, before: Mapping[str, list[Any]], now_ns: int | None = None) -> tuple[list[Path], Seen]:
    """Files that did not change since the look before, oldest first, and what this look saw.

    A folder of part files counts as a file once it holds ``_SUCCESS``, as Spark leaves it. Hidden and unfinished files,
    other folders, links and pipes are not batches.
    """
    now_ns = now_ns or time.time_ns()
    seen: Seen = {}
    for entry in _visible(inbox):
        if entry.is_file(follow_symlinks=False) or _is_whole_folder(entry):
            state = [entry.stat().st_size, entry.stat().st_mtime_ns]
            known = before.get(entry.name, [])
            seen[entry.name] = known if known[:2] == state else [*state, now_ns]
    whole = [inbox / name for name, state in seen.items() if before.get(name) == state]
    return sorted(whole, key=lambda path: (seen[path.name][1], path.name)), seen


def is_urgent(file: Path) -> bool:
    """Whether the file's name marks it as urgent: ``weekly.urgent.jsonl``."""
    return Path(stem_of(file.name)).suffix.lower() == URGENT_MARK


def strange_entries(inbox: Path) -> list[Path]:
    """Entries that are not regular files, although they are named like a batch file, or are not folders either."""
    return [
        Path(entry.path)
        for entry in _visible(inbox)
        if not entry.is_file(follow_symlinks=False)
        and not _is_whole_folder(entry)
        and (entry.name.lower().endswith(ENDINGS) or not entry.is_dir(follow_symlinks=False))
    ]


def _is_whole_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and Path(entry.path, "_SUCCESS").is_file()


def _visible(inbox: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(inbox) as entries:
        yield from (e for e in entries if not e.name.startswith(".") and not e.name.lower().endswith(UNFINISHED))


def _release_held(folders: BatchFolders) -> None:
    """Move held files back into the inbox, unless a file of the same name is there."""
    for file in sorted(folders.held.glob("*")) if folders.held.exists() else ():
        if not file.name.endswith(".reason.txt") and not (folders.inbox / file.name).exists():
            os.replace(file, folders.inbox / file.name)
            held_reason(file).unlink(missing_ok=True)


def _take_in_newest(
    warehouse: Warehouse, folders: BatchFolders, name: str, same: list[Path], taken: TakenIn, admission: Admission
) -> None:
    """Of files of one batch, oldest first, take in the newest that can be used; reject those before it.

    They wait while an earlier claim of the batch waits.
    """
    newest = None
    for file in reversed(same):
        if newest is not None:
            _reject(folders, file, f"'{newest}' is newer and the same batch, '{name}'. Give it another name", taken)
        elif (folders.claimed / name).exists():
            return
        elif _finish(warehouse, folders, _claim(folders, name, [file]), taken, admission):
            newest = printable(file.name)


def _claim(folders: BatchFolders, batch_id: str, files: list[Path]) -> Path:
    folder = folders.claimed / batch_id
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        os.replace(file, folder / file.name)
    return folder


def _finish(warehouse: Warehouse, folders: BatchFolders, claim: Path, taken: TakenIn, admission: Admission) -> bool:
    """Take in the files of a claim, together or else one by one, or reject or hold them; returns whether it
    became a batch.
    """
    before = len(taken.received)
    files = sorted(path for path in claim.iterdir() if path.name[0] != ".")
    if len(files) > 1:
        try:
            taken.received.append(_receive_joined(warehouse, folders, claim, files, admission))
            return True
        except ENVIRONMENT:
            raise
        except Exception as error:
            if warehouse.fetch("batch_revisions", {"batch_id": claim.name}):
                raise  # already one batch: its files must not become further batches
            taken.remarks.append(f"{claim.name} cannot be one batch: {error}")
            if not isinstance(error, InvalidInput):
                taken.faults.append(traceback.format_exc())
    for file in files:
        with standing_alone(taken, file.name), usable(folders, file, taken):
            request = {"urgent": True} if is_urgent(file) else None
            received = receive(warehouse, folders, file, request=request, move=True, admission=admission)
            taken.received.append(received)
            if received.remark:
                taken.remarks.append(f"{printable(file.name)} {received.remark}")
    if not any(os.path.lexists(file) for file in files):
        shutil.rmtree(claim)
    return len(taken.received) > before


def _receive_joined(
    warehouse: Warehouse, folders: BatchFolders, claim: Path, files: list[Path], admission: Admission
) -> ReceivedBatch:
    """Make one batch of several files; the files are kept beside it, moved in one step once the ledger has it."""
    sources: dict[str, Path] = {}
    for file in files:
        own = batch_id_of(file.name)
        sources[told_apart(own, file.name) if own in sources else own] = file
    joined = join_files(sources, claim / f".{claim.name}", admission.layout)
    received = receive(warehouse, folders, joined, batch_id=claim.name, move=True, admission=_LOOKED_AT)
    rows = [
        {
            "batch_id": received.batch_id,
            "source_id": own,
            "file_name": printable(file.name),
            "file_sha256": file_sha256(file),
        }
        for own, file in sources.items()
    ]
    if _batch_with(warehouse, files[0], file_sha256(files[0])) != received.batch_id:
        warehouse.append("joined_files", pa.Table.from_pylist(rows))
    os.replace(claim, received.path.parent / "sources")
    return received


@dataclass
class _Joining:
    """Small files that wait for each other."""

    warehouse: Warehouse
    folders: BatchFolders
    settings: Coalescing
    taken: TakenIn
    admission: Admission

    def join(self, files: list[Path], now_ns: int) -> list[Path]:
        """Take in the groups that are due; returns the files that are large or alone."""
        large: list[Path] = []
        small: list[SmallFile] = []
        for file in files:
            with standing_alone(self.taken, file.name):
                self._sort(file, (now_ns - self.taken.seen[file.name][2]) / 60e9, small, large)
        for group in due(small, self.settings):
            with standing_alone(self.taken, ", ".join(file.path.name for file in group)):
                paths = self._distinct([file.path for file in group])
                if len(paths) == 1:
                    large += paths
                else:
                    _finish(
                        self.warehouse,
                        self.folders,
                        _claim(self.folders, _joined_id(paths), paths),
                        self.taken,
                        self.admission,
                    )
        return large

    def _sort(self, file: Path, waited_minutes: float, small: list[SmallFile], large: list[Path]) -> None:
        """Put a file among the small or the large ones, unless a batch holds it already."""
        state = self.taken.seen[file.name]
        try:
            if len(state) == _UNREAD:
                state += _measured(file, self.admission)
        except ENVIRONMENT:
            raise
        except Exception:
            large.append(file)  # rejected where it is received
            return
        size, sha256, joinable, *shape = state[_UNREAD:]
        known = _batch_with(self.warehouse, file, sha256)
        if known is not None and (ended := end_of_batch(self.warehouse, known)):
            reason = f"batch '{known}', which is {ended} and frozen, has it byte for byte. Give it another name"
            _reject(self.folders, file, reason, self.taken)
        elif known is not None:
            self.taken.remarks.append(f"{printable(file.name)} is in batch {known} already, byte for byte")
            file.unlink()
        elif not joinable or size >= self.settings.below or is_urgent(file) or self._is_repeated(file, sha256):
            large.append(file)
        else:
            small.append(SmallFile(file, size, tuple(shape), waited_minutes))

    def _is_repeated(self, file: Path, sha256: str) -> bool:
        """Whether receiving this file should hold it as a repeat."""
        return not self.admission.may_repeat and bool(repeated_batches(self.warehouse, batch_id_of(file.name), sha256))

    def _distinct(self, files: list[Path]) -> list[Path]:
        """The files without byte-for-byte duplicates of each other; the duplicates are held."""
        kept: dict[str, Path] = {}
        for file in files:
            same = kept.setdefault(file.name if self.admission.may_repeat else file_sha256(file), file)
            if same is not file:
                with usable(self.folders, file, self.taken):
                    raise duplicate_of(f"'{printable(same.name)}', which came with it", file)
        return list(kept.values())


def _measured(file: Path, admission: Admission) -> list[Any]:
    """Instructions, hash, whether all of it can be routed, and shape: a file with records set aside is not joined."""
    layout = admission.layout.fitting(file)
    with open_batch(file, layout=layout) as portions:
        refuse_divided_texts(portions.ignored_columns, file, admission.layout)
        shape = shape_of(file, portions, layout)
        return [portions.instructions, file_sha256(file), not portions.set_aside, *shape]


def _joined_id(files: list[Path]) -> str:
    digest = hashlib.sha256("".join(f"{file.name!r} {file_sha256(file)}" for file in files).encode())
    return f"joined-{datetime.now(UTC):%Y%m%dT%H%M%S}-{digest.hexdigest()[:8]}"


def _batch_with(warehouse: Warehouse, file: Path, sha256: str) -> str | None:
    """The batch that has this very file, of this hash, already."""
    parameters = {"file_name": printable(file.name), "file_sha256": sha256}
    known = warehouse.fetch("batch_with_file", parameters)
    return known[0]["batch_id"] if known else None


def _reject(folders: BatchFolders, path: Path, reason: str, taken: TakenIn) -> None:
    taken.rejected.append(f"{reason}; moved to {reject(folders, path, reason)}")
