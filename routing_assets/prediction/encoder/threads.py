"""How many cores one training or scoring takes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import joblib
import torch

from routing_assets.prediction.encoder.precision import weights_cast_once

Step = TypeVar("Step")


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


def side_by_side(work: Callable[[Iterator[Step]], None], steps: Sequence[Step]) -> None:
    """Call ``work`` with the steps: on as many threads as torch has, each of which takes the next step that is left.

    A step is computed by one thread, so its last bits do not depend on their number; and threads that never wait for
    each other finish sooner. ``work`` writes the results of its steps. A GPU is fed by one thread.
    """
    threads = 1 if torch.cuda.is_available() else min(torch.get_num_threads(), len(steps))
    with one_thread():
        if threads < 2:
            work(iter(steps))
            return
        left = iter(list(steps))  # the interpreter takes one item at a time, so threads may share it
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                for done in [pool.submit(_work_in_thread, work, left) for _ in range(threads)]:
                    done.result()
            finally:
                deque(left, maxlen=0)  # after an error or an interruption, threads end with the step they are at


def _work_in_thread(work: Callable[[Iterator[Step]], None], left: Iterator[Step]) -> None:
    with weights_cast_once("cpu"):
        work(left)
