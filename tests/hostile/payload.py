"""What a hostile file would run: it leaves a mark, by which a test sees that it was run."""

from __future__ import annotations

import os
from pathlib import Path

MARK = "HOSTILE_MARK"


def mark() -> Path:
    """Where the mark would lie."""
    return Path(os.environ[MARK])


class Payload:
    """Leaves the mark when it is unpickled."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f'echo {self.origin} > "${MARK}"',)
