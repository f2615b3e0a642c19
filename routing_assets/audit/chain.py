"""Check that the journal, the ledgers and the anchors outside the database agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.outbox import MANIFEST
from routing_assets.foundation.sql import query
from routing_assets.storage.journal import GENESIS, LEDGERS, TAKEN_ON_TRUST, Head, content_of, hash_of, stored_rows
from routing_assets.storage.warehouse import Warehouse

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class JournalAudit:
    """What was compared, and which faults were found."""

    head: Head
    anchors: Mapping[str, int]
    """How many anchors were compared, by the place where they are kept."""
    taken_on_trust: int
    """Rows that were older than the journal, which was begun at ``begun_at``: earlier changes to them do not show."""
    begun_at: datetime | None
    found: tuple[str, ...]
    """The faults, one line each."""


def audit_journal(
    warehouse: Warehouse, folders: BatchFolders, anchored_elsewhere: Mapping[str, Sequence[Head]] | None = None
) -> JournalAudit:
    """Check the journal's hash chain, and compare the journal with the rows of every ledger and with every anchor.

    A row that only one of journal and ledger has is a fault, and so is an anchor whose entry the journal lacks.

    Args:
        anchored_elsewhere: further anchors, by the place where they are kept.
    """
    heads, unreadable = warehouse.anchors.read()  # read first: others may append to the journal meanwhile
    file = warehouse.anchors.path.name
    anchors = {file: heads, "hand-offs in the outbox": _handed_heads(folders), **(anchored_elsewhere or {})}
    with warehouse.reader() as connection:
        entries = _entries(connection)
        rows = {table: stored_rows(connection, table) for table in LEDGERS}
    counts = json.loads(entries[0]["content"]) if entries and entries[0]["kind"] == TAKEN_ON_TRUST else {}
    found = [
        *_breaks_of_chain(entries),
        *(line for table in LEDGERS for line in _differences(table, entries, rows[table])),
        *(f"{file}: line {number} cannot be read" for number in unreadable),
        *_lost_anchors(file, heads, first=1 + sum(counts.values())),
        *(line for where, known in anchors.items() for line in _contradictions(where, known, entries)),
    ]
    return JournalAudit(
        Head(entries[-1]["entry"], entries[-1]["entry_hash"]) if entries else Head(0, GENESIS),
        {where: len(known) for where, known in anchors.items()},
        sum(counts.values()),
        entries[0]["recorded_at"] if entries else None,
        tuple(found),
    )


def _entries(connection: duckdb.DuckDBPyConnection) -> Rows:
    try:
        cursor = connection.execute(query("journal"))
    except duckdb.CatalogException:  # the table was removed
        return []
    columns = [column[0] for column in cursor.description or []]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _breaks_of_chain(entries: Rows) -> Iterator[str]:
    if not entries:
        yield "the journal is empty"
    previous, expected = GENESIS, 1
    for entry in entries:
        name = f"journal entry {entry['entry']} ({entry['kind']} {entry['subject']})"
        if entry["entry"] != expected:
            yield f"{name}: {entry['entry'] - expected} entries before it are gone, from {expected} on"
        if entry["previous_hash"] != previous:
            yield f"{name}: does not follow the journal entry before it"
        if hash_of(entry) != entry["entry_hash"]:
            yield f"{name}: was changed after it was recorded"
        previous, expected = entry["entry_hash"], entry["entry"] + 1


def _differences(table: str, entries: Rows, rows: Rows) -> Iterator[str]:
    """Rows of a ledger that were removed, changed, or added without an entry in the journal."""
    recorded = Counter(entry["content"] for entry in entries if entry["kind"] == table)
    stored = Counter(map(content_of, rows))
    lacking = {row["entry"]: row for row in map(json.loads, recorded - stored)}
    added = {row["entry"]: row for row in map(json.loads, stored - recorded)}
    for number, row in lacking.items():
        if number not in added:
            yield f"{_named(table, row)}: is in the journal, but not in the ledger"
            continue
        now = added.pop(number)
        differing = [name for name in row | now if row.get(name) != now.get(name)]
        changes = [f"{name} was {row.get(name)} and is {now.get(name)}" for name in differing]
        yield f"{_named(table, row)}: was changed after it was recorded: {', '.join(changes)}"
    for row in added.values():
        yield f"{_named(table, row)}: is in the ledger, but not in the journal"


def _named(table: str, row: Mapping[str, Any]) -> str:
    column = LEDGERS[table]
    return f"{table} entry {row['entry']} ({column.removesuffix('_id').replace('_', ' ')} {row.get(column)})"


def _lost_anchors(file: str, heads: Sequence[Head], first: int) -> Iterator[str]:
    """Whether anchors were removed from the start of the file, which must begin with the journal's first commit.

    A commit that could not be anchored is anchored before the next commit begins, so none is skipped.
    """
    if not heads:
        yield f"{file}: holds no anchor; the file was removed or emptied"
    elif heads[0].entry != first:
        yield f"{file}: begins at entry {heads[0].entry}, not at {first}; the anchors before it were removed"


def _contradictions(where: str, anchors: Sequence[Head], entries: Rows) -> Iterator[str]:
    hashes = {entry["entry"]: entry["entry_hash"] for entry in entries}
    lacking = [anchor.entry for anchor in anchors if anchor.entry and anchor.entry not in hashes]
    if lacking:
        yield (
            f"{where}: {_counted(lacking)} of entries that the journal lacks, from {min(lacking)} to "
            f"{max(lacking)}; the journal ends at {max(hashes, default=0)}: entries were removed, or an older copy of "
            "the database was restored"
        )
    differing = [a.entry for a in anchors if a.entry in hashes and hashes[a.entry] != a.entry_hash]
    if differing:
        yield (
            f"{where}: {_counted(differing)} of entries with another hash than the journal's, from {min(differing)} to "
            f"{max(differing)}: the journal was rewritten after they were made"
        )


def _counted(anchors: Sequence[int]) -> str:
    return "1 anchor" if len(anchors) == 1 else f"{len(anchors)} anchors"


def _handed_heads(folders: BatchFolders) -> list[Head]:
    """The anchors in the outbox's manifests, except manifests of earlier versions and those that cannot be read."""
    heads = []
    for path in folders.outbox.glob(f"*/{MANIFEST}"):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            heads.append(Head(manifest["ledger_entry"], manifest["ledger_hash"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [head for head in heads if head.entry]
