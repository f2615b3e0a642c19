"""Errors on their way back from another process: as themselves, whatever their constructors ask for."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from routing_assets.engine.engine import Result


class WorkerLost(RuntimeError):
    """The processes that worked on a part died, as they do when the memory is full."""


@dataclass(frozen=True)
class Success(Generic[Result]):
    """What a function returned."""

    value: Result

    def result(self) -> Result:
        """The value."""
        return self.value


@dataclass(frozen=True)
class Failure:
    """The error that a function raised, in pieces: unpickling an exception would call its constructor."""

    kind: type[Exception]
    arguments: tuple[Any, ...]
    state: dict[str, Any]

    def result(self) -> Any:
        """Raise the error, with the traceback of the process that it came from as a note."""
        error = self.kind.__new__(self.kind, *self.arguments)
        error.__dict__.update(self.state)
        raise error


def attempt(function: Callable[..., Result], part: Any, arguments: Sequence[Any]) -> Success[Result] | Failure:
    """Call ``function(part, *arguments)`` on behalf of another process."""
    try:
        return Success(function(part, *arguments))
    except Exception as error:
        error.add_note(f"In the worker:\n{traceback.format_exc()}")
        return Failure(type(error), error.args, error.__dict__)
