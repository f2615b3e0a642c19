"""How many cores one training or scoring takes."""

from __future__ import annotations

import os

import torch


def use_threads(threads: int | None = None) -> None:
    """Let torch use ``threads`` CPU threads: half of the cores unless given, for two runs share the machine.

    OpenMP threads that outnumber the free cores spin and wait for each other, which makes small networks train many
    times slower than on one thread. ``OMP_NUM_THREADS`` comes first where it is set.
    """
    if threads is None and "OMP_NUM_THREADS" in os.environ:
        return
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) // 2))
