"""How far a command is: progress bars in a terminal, and a line a minute where stderr is a file or a pipe."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import parent_process
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[..., object]
"""Reports finished steps: ``advance(3)`` for three, ``advance(note="loss .41")`` for one with a note beside the bar."""
LINE_EVERY_S = 60.0
_counts: list[_Count] = []
"""What is counted now in this process, outermost first."""


@dataclass
class _Count:
    """Steps done of a piece of work."""

    label: str
    total: int
    unit: str
    done: int
    at_first: int = 0
    begun: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        made, taken = self.done - self.at_first, time.monotonic() - self.begun
        left = f", about {duration(taken / made * (self.total - self.done))} left" if made else ""
        return f"{self.label}: {self.done:,} of {self.total:,} {self.unit}{left}"


@contextmanager
def working(what: str, how_long: str) -> Iterator[None]:
    """Say on stderr what is done and how long it may take; outside a terminal, say once a minute how far it is."""
    print(f"{what} ({how_long})", file=sys.stderr, flush=True)
    begun, ended = time.monotonic(), threading.Event()

    def tell() -> None:
        while not ended.wait(LINE_EVERY_S):
            far = "; ".join(map(str, _counts))
            so_far = f"{what}: {duration(time.monotonic() - begun)} so far"
            print(f"{so_far}; {far}" if far else so_far, file=sys.stderr, flush=True)

    if not sys.stderr.isatty():
        threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


@contextmanager
def progress_bar(label: str, total: int, unit: str, *, shown: bool = True, done: int = 0) -> Iterator[Advance]:
    """A progress bar on stderr, removed when the block ends; yields the function that reports finished steps.

    Nothing is drawn when ``shown`` is false, in a worker process, or where stderr is not a terminal. A nested bar is
    drawn below the outer one.

    Args:
        label: what is being done.
        total: number of steps.
        unit: name of a step, in the plural.
        done: steps that are finished already.
    """
    if not shown:
        yield lambda steps=1, note="": None
    elif sys.stderr.isatty() and parent_process() is None:
        with _drawn(label, total, unit, done) as advance:
            yield advance
    else:
        count = _Count(label, total, unit, done, done)
        _counts.append(count)

        def add(steps: int = 1, note: str = "") -> None:
            count.done += steps

        try:
            yield add
        finally:
            _counts.remove(count)


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def _drawn(label: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=_stderr(), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done, unit=unit, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


@cache
def _stderr() -> Console:
    """The one console of all bars. With two consoles, nested bars would be drawn twice."""
    from rich.console import Console

    return Console(stderr=True)
