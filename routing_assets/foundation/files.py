"""Files that are either whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

PARTIAL = ".partial"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; it becomes ``path`` when the block ends well, and vanishes otherwise.

    A killed process leaves the temporary file behind. Its ending is ``.partial``, so that no search for ``*.parquet``
    takes it for a table.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex[:12]}{PARTIAL}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make sure that a file's bytes are on the disk."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``path`` when the block ends well; a folder that is there already stays.

    For folders named by their content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex[:12]}{PARTIAL}")
    try:
        yield temporary
        if not path.exists():
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
