"""Progress bars for somebody who watches a terminal. Files and pipes get none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[..., object]
"""Reports steps done: ``advance(3)`` for three of them, ``advance(note="loss .41")`` for one and what to say of it."""


@contextmanager
def progress_bar(label: str, total: int, unit: str, *, shown: bool = True, done: int = 0) -> Iterator[Advance]:
    """A bar on stderr that is gone once the block ends; yields the function that moves it on.

    Nothing is drawn where ``shown`` is false or stderr is no terminal. A bar inside another one is drawn below it.

    Args:
        label: what is being done.
        total: number of steps.
        unit: what a step is, in the plural.
        done: steps that were done before.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda steps=1, note="": None
        return
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
    """One console for all bars: it knows which of them are drawn, and so draws none of them twice."""
    from rich.console import Console

    return Console(stderr=True)
