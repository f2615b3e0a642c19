"""Progress bars in a terminal. Nothing is drawn into files and pipes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[..., object]
"""Reports finished steps: ``advance(3)`` for three, ``advance(note="loss .41")`` for one with a note beside the bar."""


@contextmanager
def progress_bar(label: str, total: int, unit: str, *, shown: bool = True, done: int = 0) -> Iterator[Advance]:
    """A progress bar on stderr, removed when the block ends; yields the function that reports finished steps.

    Nothing is drawn when ``shown`` is false or stderr is not a terminal. A nested bar is drawn below the outer one.

    Args:
        label: what is being done.
        total: number of steps.
        unit: name of a step, in the plural.
        done: steps that are finished already.
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
    """The one console of all bars. With two consoles, nested bars would be drawn twice."""
    from rich.console import Console

    return Console(stderr=True)
