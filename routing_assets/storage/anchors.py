"""Anchors: copies of the journal's head outside the database. They reveal a truncated or older database."""

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
    """An append-only file of JSON lines: the head of the journal after each commit that changed it."""

    path: Path

    def add(self, head: Head | None) -> None:
        """Append this head and flush it to the disk, unless it is the newest anchor or the journal is empty.

        Called before and after each transaction, so that the next process anchors the last commit of one that died.
        """
        if head is None or head.entry == 0 or head == self._newest():
            return
        line = json.dumps({**asdict(head), "anchored_at": datetime.now(UTC).isoformat(timespec="seconds")})
        with self.path.open("ab+") as file:
            file.truncate(self._complete_bytes())
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> tuple[list[Head], list[int]]:
        """Every anchor, oldest first, and the numbers (from 1) of the lines that cannot be read.

        An incomplete last line is ignored: the process that wrote it died.
        """
        heads, unreadable = [], []
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        for number, line in enumerate(lines, start=1):
            anchor = _parsed(line)
            heads += [anchor] if anchor else []
            unreadable += [] if anchor else [number]
        return heads, unreadable

    def _newest(self) -> Head | None:
        lines = self._tail().split(b"\n")[:-1]
        return _parsed(lines[-1]) if lines else None

    def _complete_bytes(self) -> int:
        """Length of the file without an incomplete last line."""
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
