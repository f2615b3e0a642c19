"""File locks on runs and batches. The operating system frees the lock of a dead process, even after SIGKILL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import PARTIAL
from routing_assets.foundation.names import is_plain, printable

_held_here: set[str] = set()
"""Runs that this process has locked."""


@contextmanager
def run_alive(locks: Path, run_id: str) -> Iterator[None]:
    """Mark a Dagster run as alive while the block runs in this process; may be nested."""
    if run_id in _held_here:
        yield
        return
    path = locks / "runs" / f"{run_id}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    unseen = path.with_suffix(PARTIAL)
    with FileLock(unseen):
        os.replace(unseen, path)  # locked before others see it: an unlocked file means that its process died
        _held_here.add(run_id)
        try:
            yield
        finally:
            _held_here.discard(run_id)
            path.unlink(missing_ok=True)


def lost_runs(locks: Path) -> list[str]:
    """Ids of the runs whose process died before they ended."""
    lost = []
    for path in sorted((locks / "runs").glob("*.lock")):
        try:
            with FileLock(path, timeout=0):
                lost.append(path.stem)
        except Timeout:
            continue
    return lost


def forget_lost_run(locks: Path, run_id: str) -> None:
    """Remove the lock file that a lost run left."""
    (locks / "runs" / f"{run_id}.lock").unlink(missing_ok=True)


@contextmanager
def batch_lock(locks: Path, batch_id: str) -> Iterator[None]:
    """Lock a batch while it is handed over or dispatched: a dispatched batch must not change while it is being sent.

    Raises InvalidInput for an id that cannot be a file name.
    """
    if not is_plain(batch_id):
        raise InvalidInput(f"{printable(batch_id)!r} is not a batch id", remedy="Give the id that route printed.")
    path = locks / "batches" / f"{batch_id}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
