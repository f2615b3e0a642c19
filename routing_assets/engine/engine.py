"""The interface of all engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class Engine(Protocol):
    """Runs one pure function on many parts."""

    def map(self, function: Callable[..., Result], parts: Sequence[Any], *arguments: Any) -> Iterator[Result]:
        """Yield ``function(part, *arguments)`` for each part, in the order of ``parts``.

        The function, its arguments and the parts must be picklable. A part is a reference to rows, such as a path,
        never the rows themselves. An error of the function is raised here with its own type; parts that have not begun
        are then dropped.
        """
        ...
