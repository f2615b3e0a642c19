"""Files on this machine or in an object store, named by a path or a URL such as ``s3://bucket/folder``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from routing_assets.foundation.files import atomic_path


def filesystem_of(path: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a path or URL, and the path within it."""
    return url_to_fs(path) if "://" in path else (LocalFileSystem(), path)


@contextmanager
def atomic_file(path: str) -> Iterator[Path]:
    """A local temporary file: stored as ``path`` in one step when the block succeeds, removed when it raises."""
    filesystem, within = filesystem_of(path)
    if isinstance(filesystem, LocalFileSystem):
        with atomic_path(Path(within)) as temporary:
            yield temporary
        return
    with TemporaryDirectory() as folder:
        temporary = Path(folder) / "file"
        yield temporary
        filesystem.put_file(str(temporary), within)


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine and its state; writing to the file, or replacing it, changes the state."""

    path: str
    bytes: int
    changed_ns: int
    inode: int


def local_file(path: str) -> LocalFile | None:
    """The file as it is now; None in an object store, and where there is none."""
    filesystem, within = filesystem_of(path)
    if not isinstance(filesystem, LocalFileSystem):
        return None
    try:
        found = os.stat(within)
    except FileNotFoundError:
        return None
    return LocalFile(within, found.st_size, found.st_mtime_ns, found.st_ino)


def exists(path: str) -> bool:
    """Whether there is a file of that name now, without using a cached listing."""
    filesystem, within = filesystem_of(path)
    filesystem.invalidate_cache()
    return filesystem.exists(within)


def read_bytes(path: str) -> bytes:
    """All bytes of a small file. Raises FileNotFoundError if it does not exist."""
    filesystem, within = filesystem_of(path)
    return filesystem.cat_file(within)


def names_in(folder: str) -> list[str]:
    """Sorted names of the files in a folder, without subfolders; empty if the folder does not exist."""
    filesystem, within = filesystem_of(folder)
    filesystem.invalidate_cache()
    try:
        found = filesystem.ls(within, detail=True)
    except FileNotFoundError:
        return []
    return sorted(entry["name"].rsplit("/", 1)[-1] for entry in found if entry["type"] == "file")


def remove(path: str) -> None:
    """Remove a file, or a folder with its content; does nothing if it does not exist."""
    filesystem, within = filesystem_of(path)
    if filesystem.exists(within):
        filesystem.rm(within, recursive=True)


def size_and_sha256(path: str) -> tuple[int, str]:
    """Size of a file in bytes, and its SHA-256 (hex). Raises FileNotFoundError if it does not exist."""
    filesystem, within = filesystem_of(path)
    with filesystem.open(within, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.seek(0, os.SEEK_END), digest.hexdigest()
