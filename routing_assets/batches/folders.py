"""The folders that the files of batches pass through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BatchFolders:
    """The folders of batch files under the ``root`` of an installation."""

    root: Path

    @property
    def inbox(self) -> Path:
        """Batch files dropped here are routed."""
        return self.root / "inbox"

    @property
    def claimed(self) -> Path:
        """Files taken from the inbox that are not in the ledger yet. An interrupted intake continues with them."""
        return self.inbox / ".claimed"

    @property
    def received(self) -> Path:
        """Batch files as they arrived, by content hash."""
        return self.root / "received"

    @property
    def rejected(self) -> Path:
        """Batch files that could not be used, each with its reason beside it."""
        return self.inbox / "rejected"

    @property
    def held(self) -> Path:
        """Files with the same content as another batch, each with its reason beside it."""
        return self.inbox / "held"

    @property
    def outcomes(self) -> Path:
        """Outcome files, each in a folder named like its batch, are compared with that batch's decision."""
        return self.root / "outcomes"

    @property
    def outbox(self) -> Path:
        """Routed batches, ready for the LLM runners."""
        return self.root / "outbox"

    @property
    def pages(self) -> Path:
        """Pages for people, each in a folder named like its batch."""
        return self.root / "pages"

    @property
    def staged(self) -> Path:
        """Routed batches while they are written, before they appear in the outbox."""
        return self.root / "staged"

    @property
    def locks(self) -> Path:
        """Locks of batches in progress."""
        return self.root / "locks"
