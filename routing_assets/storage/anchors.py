"""Anchors: what the head of the journal was, kept outside the database, so that a cut or older database shows."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from routing_assets.storage.journal import Head

FILE = "ledger_heads.jsonl"
_LONGEST_LINE = 4096


@dataclass(frozen=True)
class Anchors:
    """A file of JSON lines that only grows: the head of the journal after each commit that moved it."""

    path: Path

    def add(self, head: Head | None) -> None:
        """Anchor this head, unless it is the newest anchor or there is no entry yet. On the disk when it returns.

        Called before and after each transaction: what a process that died could not anchor, the next one does.
        """
        if head is None or head.entry == 0 or head == self._newest():
            return
        line = json.dumps({**asdict(head), "anchored_at": datetime.now(UTC).isoformat(timespec="seconds")})
        with self.path.open("ab+") as file:
            file.truncate(self._whole_bytes())
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> tuple[list[Head], list[int]]:
        """Every anchor, oldest first, and the numbers of lines that cannot be read.

        A last line without its end is no anchor: the process that wrote it died.
        """
        heads, unreadable = [], []
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        for number, line in enumerate(lines, start=1):
            anchor = _parsed(line)
            heads += [anchor] if anchor else []
            unreadable += [] if anchor else [number]
        return heads, unreadable

    def _newest(self) -> Head | None:
        whole = self._tail().split(b"\n")[:-1]
        return _parsed(whole[-1]) if whole else None

    def _whole_bytes(self) -> int:
        """Length of the file without a last line that was not finished."""
        size = self.path.stat().st_size
        return size - len(self._tail().split(b"\n")[-1])

    def _tail(self) -> bytes:
        if not self.path.exists():
            return b""
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE))
            return file.read()


def _parsed(line: bytes) -> Head | None:
    try:
        anchor = json.loads(line)
        return Head(int(anchor["entry"]), str(anchor["entry_hash"]))
    except (ValueError, KeyError, TypeError):
        return None
