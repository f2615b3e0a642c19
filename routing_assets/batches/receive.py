"""Receive batch files: check, name and keep them, and enter them in the ledger; or reject them with a reason."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.known import (
    ReceivedBatch,
    _listed,
    intake_lock,
    kept_file,
    refuse_ended,
)
from routing_assets.batches.policy import layout_of, layout_settings
from routing_assets.datasets.chats import write_requests
from routing_assets.datasets.containers import is_other_than_utf8, write_as_utf8
from routing_assets.datasets.file_layout import AS_OURS, FileLayout, refuse_divided_texts
from routing_assets.datasets.part_files import JoinedParts, join_parts
from routing_assets.datasets.portions import open_batch
from routing_assets.datasets.reading import MOST_BYTES, remarks_on, require_size
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import atomic_path, file_sha256, sync
from routing_assets.foundation.names import batch_id_of, plain_id, printable, stem_of, told_apart
from routing_assets.storage.warehouse import Warehouse


class Duplicate(InvalidInput):
    """A file that another batch holds byte for byte: as a batch of its own it would be paid for twice."""


@dataclass(frozen=True)
class Admission:
    """Which files may become batches."""

    strict: bool = False
    """Refuse a file of which a single record cannot be routed."""
    may_repeat: bool = False
    """Take a file although another batch holds the same bytes."""
    layout: FileLayout = AS_OURS
    """How files differ from ours that do not have our columns."""
    encoding: str | None = None
    """Of text files that are not UTF-8."""


ORDINARY = Admission()


def receive(
    warehouse: Warehouse,
    folders: BatchFolders,
    path: Path,
    *,
    batch_id: str | None = None,
    request: Mapping[str, Any] | None = None,
    move: bool = False,
    admission: Admission = ORDINARY,
) -> ReceivedBatch:
    """Keep the bytes of a batch file under ``received/``, check them, and enter them in the ledger.

    What is checked is a copy, so a program that still writes into the file changes nothing. Each step may be repeated:
    whatever interrupts them, receiving the file again ends in one entry and one run key.

    Args:
        path: a table, requests of any provider, or a folder of part files of these, which become one file.
        batch_id: the partition key; from the file name when absent.
        request: the batch's own routing settings, also how its file is read; None follows the standing policy.
        move: remove the file once it is in the ledger, and the reason beside it where it was held.
        admission: which files may become batches.

    Raises:
        Duplicate: another batch holds the same bytes; nothing was recorded.
        InvalidInput: the file is not a usable batch, its id is not plain, or the batch is dispatched or
            withdrawn; nothing was recorded.
    """
    with intake_lock(folders):
        if batch_id is not None and batch_id != plain_id(batch_id):
            raise InvalidInput(
                f"the batch id {batch_id!r} cannot be a partition and a folder",
                remedy="Use at most 80 letters, digits, dots, dashes and underscores, a letter or digit in front.",
            )
        given, batch_id = batch_id, batch_id or batch_id_of(path.name)
        if warehouse.fetch("batch_ids_alike", {"batch_id": batch_id}):
            batch_id = told_apart(batch_id, batch_id)
        refuse_ended(warehouse, batch_id, remedy="Give the new batch another name.")
        with private_copy(folders, path, admission.encoding, of_requests=True) as copy:
            with copy.naming(path):
                standing = layout_settings(admission.layout.fitting(copy.path))
                request = {**standing, **(request or {})}
                layout = layout_of(request)
                with open_batch(copy.path, strict=admission.strict, layout=layout) as portions:
                    instructions = portions.instructions
                    refuse_divided_texts(portions.ignored_columns, path, admission.layout, layout)
                read_as = copy.said
            sha256 = file_sha256(copy.path)
            repeats = repeated_batches(warehouse, batch_id, sha256)
            if repeats and not admission.may_repeat:
                raise duplicate_of(_listed(repeats), path)
            name = path.name if copy.joined is None else path.name.removesuffix(copy.path.suffix) + copy.path.suffix
            kept = kept_file(folders, batch_id, sha256, Path(name).suffix)
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.replace(copy.path, kept)
        received = _record(warehouse, batch_id, name, kept, sha256, instructions, request)
        if move:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            held_reason(path).unlink(missing_ok=True)
        return replace(
            received, renamed=given is None and batch_id != stem_of(path.name), repeats=repeats, read_as=read_as
        )


def repeated_batches(warehouse: Warehouse, batch_id: str, sha256: str) -> tuple[str, ...]:
    """Other batches that hold this very file; none for one that ``batch_id`` itself has as its newest."""
    known = warehouse.fetch("batch_revisions", {"batch_id": batch_id})
    if known and known[-1]["file_sha256"] == sha256:
        return ()
    others = warehouse.fetch("batches_with_bytes", {"batch_id": batch_id, "file_sha256": sha256})
    return tuple(row["batch_id"] for row in others)


def duplicate_of(what: str, path: Path) -> Duplicate:
    """The error for a file that is ``what``, byte for byte, with its remedy."""
    return Duplicate(
        f"this is {what}, byte for byte, and would be paid for twice",
        source=str(path),
        remedy="To pay again: routing-assets route --duplicate FILE, or duplicates: route in the policy file.",
    )


@dataclass(frozen=True)
class PrivateCopy:
    """A copy of a file, or the one file that a folder of part files became."""

    path: Path
    joined: JoinedParts | None = None
    said: tuple[str, ...] = ()
    """What was done to it, and what is unusual in how it is read."""

    @contextmanager
    def naming(self, path: Path) -> Iterator[None]:
        """What is wrong with the copy is said of ``path``, where it came from, or of its part."""
        try:
            yield
        except InvalidInput as error:
            located = error if self.joined is None else self.joined.located(error)
            raise (error.of(str(path)) if located is error else located) from error


@contextmanager
def private_copy(
    folders: BatchFolders, path: Path, encoding: str | None = None, *, of_requests: bool = False
) -> Iterator[PrivateCopy]:
    """A copy that nobody else writes to; removed at the end unless it was moved. Raises InvalidInput where it cannot be
    read.

    Args:
        encoding: of a text file that is not UTF-8; the copy is.
        of_requests: whether requests that are rows of a table become lines of requests.
    """
    require_file_or_folder(path)
    folders.claimed.mkdir(parents=True, exist_ok=True)
    copy, requests = (
        PrivateCopy(folders.claimed / f".copy{path.suffix.lower()[:16]}"),
        folders.claimed / ".requests.jsonl",
    )
    try:
        try:
            if path.is_dir():
                joined = join_parts(path, folders.claimed / ".copy")
                copy = PrivateCopy(joined.path, joined, (joined.remark,))
            elif encoding is not None and is_other_than_utf8(path, MOST_BYTES):
                write_as_utf8(path, encoding, copy.path, MOST_BYTES)
                copy = PrivateCopy(copy.path, said=(f"{encoding} text",))
            else:
                require_size(path)
                shutil.copyfile(path, copy.path)
            with copy.naming(path):
                first = copy.path if copy.joined is None else copy.joined.parts[0].path
                copy = replace(copy, said=(*copy.said, *remarks_on(first)))
                if of_requests and (written := write_requests(copy.path, requests)):
                    lines, said = written
                    copy.path.unlink()
                    copy = PrivateCopy(requests, copy.joined or lines, (*copy.said, said))
            sync(copy.path)
        except PermissionError as error:
            raise InvalidInput(
                "the file may not be read", source=str(path), remedy="Give the routing user permission to read it"
            ) from error
        yield copy
    finally:
        for made in {copy.path, requests}:
            made.unlink(missing_ok=True)


def require_file_or_folder(path: Path) -> None:
    """Raise InvalidInput for a pipe or device, which is never opened, and for a path that does not exist."""
    if not path.exists():
        raise InvalidInput("there is no such file", source=str(path), remedy="Give the path of a batch file")
    if not path.is_file() and not path.is_dir():
        kinds = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
        kind = kinds.get(stat.S_IFMT(path.stat().st_mode), "device")
        raise InvalidInput(f"this is a {kind}, not a file", source=str(path), remedy="Give a file")


def reject(folders: BatchFolders, path: Path, reason: str) -> Path:
    """Move a file to ``inbox/rejected/`` with its reason beside it; an earlier rejected file is never overwritten.

    Links, pipes and folders are moved as they are, and not opened.
    """
    folders.rejected.mkdir(parents=True, exist_ok=True)
    name = f"{batch_id_of(path.name)}{plain_suffix(path)}"
    target = folders.rejected / f"{time.time_ns():020d}-{name}"
    with atomic_path(target.with_name(f"{target.name}.reason.txt")) as temporary:
        temporary.write_text(f"{printable(path.name)!r} was rejected: {reason}\n", encoding="utf-8")
    os.replace(path, target)
    return target


def hold(folders: BatchFolders, path: Path, reason: str) -> Path:
    """Move a file to ``inbox/held/``, under its own name, with its reason beside it.

    Another file of that name which is held already moves to ``inbox/rejected/``.
    """
    folders.held.mkdir(parents=True, exist_ok=True)
    target = folders.held / path.name
    if target.exists() and file_sha256(target) != file_sha256(path):
        reject(folders, target, "a newer file of that name is held in its place")
    with atomic_path(held_reason(target)) as temporary:
        temporary.write_text(f"{printable(path.name)!r} is held: {reason}\n", encoding="utf-8")
    os.replace(path, target)
    return target


def held_reason(path: Path) -> Path:
    """Where the reason for which a file is held is written."""
    return path.with_name(f"{batch_id_of(path.name)}{plain_suffix(path)}.reason.txt")


def plain_suffix(path: Path) -> str:
    """A file's ending where it is plain, else nothing."""
    suffix = path.suffix.lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 16 else ""


def _record(
    warehouse: Warehouse,
    batch_id: str,
    name: str,
    kept: Path,
    sha256: str,
    instructions: int,
    request: Mapping[str, Any] | None,
) -> ReceivedBatch:
    """Enter the file in the ledger, unless it is the newest entry of the batch already."""
    known = warehouse.fetch("batch_revisions", {"batch_id": batch_id})
    request_json = json.dumps(request, sort_keys=True) if request else None
    is_new = not known or known[-1]["file_sha256"] != sha256 or known[-1]["request"] != request_json
    if is_new:
        row = {
            "batch_id": batch_id,
            "file_name": printable(name),
            "file_sha256": sha256,
            "instructions": instructions,
            "request": request_json,
        }
        warehouse.append("batches", pa.Table.from_pylist([row]))
    replaced = known[-1]["instructions"] if known and known[-1]["file_sha256"] != sha256 else 0
    return ReceivedBatch(batch_id, sha256, kept, len(known) + is_new, is_new, request or {}, replaced)
