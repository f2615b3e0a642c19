"""Locks of what is under way: the system frees those of a process that died, even by SIGKILL or a power cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from routing_assets.settings import Home

SETTLED_S = 10.0
"""A run's lock file this young may be between its making and its locking."""


@contextmanager
def run_alive(home: Home, run_id: str) -> Iterator[None]:
    """Mark a Dagster run as alive for as long as this process works on it."""
    path = home.locks / "runs" / f"{run_id}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def lost_runs(home: Home, *, settled_s: float = SETTLED_S) -> list[str]:
    """Ids of runs whose process died while it worked on them."""
    lost = []
    for path in sorted((home.locks / "runs").glob("*.lock")):
        try:
            settled = time.time() - path.stat().st_mtime >= settled_s
            with FileLock(path, timeout=0):
                if settled:
                    lost.append(path.stem)
        except (Timeout, FileNotFoundError):
            continue
    return lost


def forget_lost_run(home: Home, run_id: str) -> None:
    """Remove what a lost run left of its lock."""
    (home.locks / "runs" / f"{run_id}.lock").unlink(missing_ok=True)


@contextmanager
def batch_lock(home: Home, batch_id: str) -> Iterator[None]:
    """Hand over or dispatch a batch one at a time: a dispatched batch must not change under its runners."""
    path = home.locks / "batches" / f"{batch_id}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
