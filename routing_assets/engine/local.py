"""One machine: a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from routing_assets.engine.engine import Result


@dataclass(frozen=True)
class LocalEngine:
    """Works on one part after another, in this process."""

    def map(self, function: Callable[..., Result], parts: Sequence[Any], *arguments: Any) -> Iterator[Result]:
        """Yield the result of each part as it is asked for."""
        return (function(part, *arguments) for part in parts)
