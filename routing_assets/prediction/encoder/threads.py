"""How many cores one training or scoring takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import joblib
import torch


def use_threads(threads: int | None = None) -> None:
    """Let torch use ``threads`` CPU threads: all cores unless given. ``OMP_NUM_THREADS`` comes first where it is set.

    Two runs may share the cores without harm, because threads wait passively (see ``routing_assets/__init__.py``).
    """
    if threads is None and "OMP_NUM_THREADS" in os.environ:
        return
    torch.set_num_threads(threads or joblib.cpu_count())


@contextmanager
def one_thread() -> Iterator[None]:
    """Context for work in steps so short that waking other threads takes longer than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
