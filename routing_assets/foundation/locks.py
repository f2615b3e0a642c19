"""Locks of what is under way: the system frees those of a process that died, even by SIGKILL or a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import PARTIAL
from routing_assets.foundation.names import is_plain, printable

_mine: set[str] = set()


@contextmanager
def run_alive(locks: Path, run_id: str) -> Iterator[None]:
    """Mark a Dagster run as alive for as long as this process works on it; may be nested."""
    if run_id in _mine:
        yield
        return
    path = locks / "runs" / f"{run_id}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    unseen = path.with_suffix(PARTIAL)
    with FileLock(unseen):
        os.replace(unseen, path)  # a lock file that others can see is locked, or its process is dead
        _mine.add(run_id)
        try:
            yield
        finally:
            _mine.discard(run_id)
            path.unlink(missing_ok=True)


def lost_runs(locks: Path) -> list[str]:
    """Ids of runs whose process died while it worked on them."""
    lost = []
    for path in sorted((locks / "runs").glob("*.lock")):
        try:
            with FileLock(path, timeout=0):
                lost.append(path.stem)
        except Timeout:
            continue
    return lost


def forget_lost_run(locks: Path, run_id: str) -> None:
    """Remove what a lost run left of its lock."""
    (locks / "runs" / f"{run_id}.lock").unlink(missing_ok=True)


@contextmanager
def batch_lock(locks: Path, batch_id: str) -> Iterator[None]:
    """Hand over or dispatch a batch one at a time: a dispatched batch must not change under its runners.

    Raises InvalidInput for an id that is no name of a file.
    """
    if not is_plain(batch_id):
        raise InvalidInput(f"{printable(batch_id)!r} is no batch id", remedy="Give the id that route printed.")
    path = locks / "batches" / f"{batch_id}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
