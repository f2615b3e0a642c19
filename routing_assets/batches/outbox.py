"""The outbox: a new decision replaces the folder of a batch in one step, which never holds files of two decisions."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from routing_assets.foundation.files import PARTIAL

MANIFEST = "manifest.json"
"""It lists the files of a hand-off, and is written last."""
SOURCES = "by_source_file"
JUDGE = "judge"
"""The folder with questions to the judge of a batch."""
SET_ASIDE = "set_aside.jsonl"
"""Records of the batch's file that are not routed: each record unchanged, with its row and the reason."""
OURS = (
    MANIFEST,
    "requests-*.jsonl",
    "request_ids.jsonl",
    "routed.parquet",
    "routed.jsonl",
    SET_ASIDE,
    SOURCES,
    f".*{PARTIAL}",
)
"""Names of the files that a hand-off writes. Files that others put beside them are kept."""

_CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EPERM, errno.ENOTSUP)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def next_decision(folder: Path, staged: Path) -> Iterator[Path]:
    """``staged``, empty, to be filled with the files of a decision; it becomes ``folder`` when the block succeeds.

    A folder of an earlier decision is exchanged for it in one step. Where the file system cannot exchange folders, or
    the outbox lies on another one, the earlier manifest goes first, then the earlier files, and the new manifest comes
    last: a moment without a manifest, but none with files of two decisions.

    Args:
        folder: of the batch in the outbox. It stays a folder of its own, not a link, so that runners may move it away.
        staged: on the same file system; what an interrupted hand-off left there is removed.
    """
    _remove(staged, folder)
    staged.mkdir(parents=True)
    yield staged
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        if folder.exists():
            exchange(staged, folder)
        else:
            os.replace(staged, folder)
    except OSError as error:
        if error.errno not in _CANNOT_EXCHANGE:
            raise
        _refill(folder, staged)
    _remove(staged, folder)


def exchange(one: Path, other: Path) -> None:
    """Exchange two paths in one step (``renameat2`` of Linux). Raises OSError where that cannot be done."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(one))
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


def _refill(folder: Path, staged: Path) -> None:
    folder.mkdir(exist_ok=True)
    earlier = set(folder.iterdir()) - set(_of_others(folder))
    for path in sorted(earlier, key=lambda path: path.name != MANIFEST):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in sorted(staged.iterdir(), key=lambda path: path.name == MANIFEST):
        shutil.move(path, folder / path.name)


def _remove(decision: Path, folder: Path) -> None:
    """Remove the files of a decision. Other files move to ``folder``, unless it has a file of that name."""
    if not decision.exists():
        return
    for path in _of_others(decision) if folder.exists() else ():
        if not (folder / path.name).exists():
            os.replace(path, folder / path.name)
    shutil.rmtree(decision)


def _of_others(folder: Path) -> list[Path]:
    try:
        listed = {file["name"] for file in json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        listed = set()
    ours = [*OURS, *listed]
    return [path for path in folder.iterdir() if not any(fnmatch(path.name, pattern) for pattern in ours)]
