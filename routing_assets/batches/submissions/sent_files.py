"""The files that are sent, kept as they are until their batch is retired, and the results that come for them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.submissions.ledger import Submission
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import atomic_path
from routing_assets.providers.clients.client import BatchClient, Job, write_lines
from routing_assets.providers.provider import PROVIDERS


def sent_file(folders: BatchFolders, of: Submission) -> Path:
    """Where a file that is sent is kept, for the hand-off that it comes from may be written again."""
    return folders.received / of.batch / "sent" / f"{of.submission}.jsonl"


def keep(path: Path, kept: Path) -> None:
    """Keep a file of a hand-off: as a link, or as a copy where the outbox lies on another file system."""
    with atomic_path(kept) as temporary:
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)


def ids_in(path: Path, provider: str) -> list[str]:
    """The ids of the requests, or of the results, in a file; a line that is cut off has none."""
    return [name for name, _ in _lines(path, provider)]


def fetch(client: BatchClient, job: Job, to: Path) -> None:
    """Write the results of a job into a file."""
    with to.open("wb") as file:
        write_lines(client.results(job), file)


def complete(client: BatchClient, results: Path, sent: Iterable[str], why: str) -> tuple[str, ...]:
    """Add a failure for each request that was sent and has no result; returns their ids. Lines cut off are left out."""
    lines = dict(_lines(results, client.provider))
    missing = tuple(name for name in sent if name not in lines)
    with atomic_path(results) as temporary, temporary.open("wb") as file:
        file.writelines(lines.values())
        file.writelines(json.dumps(client.failure(name, why)).encode() + b"\n" for name in missing)
    return missing


def _lines(path: Path, provider: str) -> Iterator[tuple[str, bytes]]:
    field = PROVIDERS[provider].id_field
    with path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if not isinstance(record, dict) or field not in record:
                raise InvalidInput(f"a line has no {field!r}, which names its request", source=str(path))
            yield str(record[field]), line
