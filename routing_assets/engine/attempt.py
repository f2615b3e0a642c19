"""Bring the result or error of a function back from a worker process. Errors keep their type."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from routing_assets.engine.engine import Result


class WorkerLost(RuntimeError):
    """The process that worked on a part died, for example because memory ran out."""


@dataclass(frozen=True)
class Success(Generic[Result]):
    """What a function returned."""

    value: Result

    def result(self) -> Result:
        """The value."""
        return self.value


@dataclass(frozen=True)
class Failure:
    """The error that a function raised, as its type, arguments and attributes.

    Unpickling the exception itself would call its constructor, which may need other arguments.
    """

    kind: type[Exception]
    arguments: tuple[Any, ...]
    state: dict[str, Any]

    def result(self) -> Any:
        """Raise the error; its note has the traceback of the worker process."""
        error = self.kind.__new__(self.kind, *self.arguments)
        error.__dict__.update(self.state)
        raise error


def attempt(function: Callable[..., Result], part: Any, arguments: Sequence[Any]) -> Success[Result] | Failure:
    """Call ``function(part, *arguments)`` in a worker process."""
    try:
        return Success(function(part, *arguments))
    except Exception as error:
        error.add_note(f"In the worker:\n{traceback.format_exc()}")
        return Failure(type(error), error.args, error.__dict__)
