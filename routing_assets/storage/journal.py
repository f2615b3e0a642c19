"""The journal: one hash chain over every row that moves money or changes the state of a batch, router or price list.

``append`` is the only way to add rows to the tables of ``LEDGERS``. It adds a journal entry for each row in the same
transaction, so a row without an entry was added by another program. Each entry holds the hash of the one before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from routing_assets.foundation.sql import query

GENESIS = "0" * 64
LEDGERS = {
    "decisions": "batch_id",
    "second_rounds": "batch_id",
    "commitments": "batch_id",
    "dispatches": "batch_id",
    "withdrawals": "batch_id",
    "retirements": "batch_id",
    "routers": "router_version",
    "price_releases": "price_version",
    "month_plans": "month",
    "submissions": "batch_id",
}
"""The append-only tables in the chain, each with the column that names the subject of a row."""
TAKEN_ON_TRUST = "taken on trust"
"""Kind of the first entry: the number of rows in each ledger that are older than the journal. Their entries follow."""
LONGEST_TEXT = 200


@dataclass(frozen=True)
class Head:
    """The newest entry of the journal; number 0 while the journal is empty."""

    entry: int
    entry_hash: str


def head(connection: duckdb.DuckDBPyConnection) -> Head | None:
    """The newest entry; None when the warehouse has no journal table, as in old versions."""
    try:
        newest = connection.execute(query("journal_head")).fetchall()
    except duckdb.CatalogException:
        return None
    return Head(*newest[0]) if newest else Head(0, GENESIS)


def append(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Append ``rows`` to ``table`` by column name; if the table is a ledger, add their entries to the journal."""
    before = _last_entry(connection, table) if table in LEDGERS else None
    insert_rows(connection, table, rows)
    if before is not None:
        _enter(connection, [(table, row) for row in _rows_after(connection, table, before)])


def insert_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Insert ``rows`` by column name, without a journal entry."""
    connection.register("inserted", rows)
    connection.execute(f"insert into {table} by name from inserted")
    connection.unregister("inserted")


def take_up(connection: duckdb.DuckDBPyConnection) -> None:
    """Begin the journal with the rows that are older than it; does nothing when it has entries already."""
    if connection.table("journal").limit(1).fetchall():
        return
    there = {name for (name,) in connection.execute("show tables").fetchall()}
    older = [table for table in LEDGERS if table in there]
    known = [(table, row) for table in older for row in stored_rows(connection, table)]
    counts = {table: sum(name == table for name, _ in known) for table in older}
    _enter(connection, [(TAKEN_ON_TRUST, counts), *known])


def stored_rows(connection: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    """Every row of a ledger, oldest first."""
    return _dicts(connection.table(table).order("entry"))


def content_of(row: Mapping[str, Any]) -> str:
    """A row as canonical JSON. Numbers are exact; a text of more than 200 characters is replaced by its SHA-256.

    Null columns are left out, so that a column added by a later version changes no entry.
    """
    return json.dumps({name: _plain(value) for name, value in row.items() if value is not None}, sort_keys=True)


def hash_of(entry: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over every column of an entry except the hash itself."""
    content = {name: _plain_time(value) for name, value in entry.items() if name != "entry_hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _enter(connection: duckdb.DuckDBPyConnection, rows: list[tuple[str, Mapping[str, Any]]]) -> None:
    last = head(connection) or Head(0, GENESIS)
    entries = list(_chained(rows, last, datetime.now(UTC)))
    insert_rows(connection, "journal", pa.Table.from_pylist(entries))


def _chained(rows: list[tuple[str, Mapping[str, Any]]], last: Head, now: datetime) -> Iterator[dict[str, Any]]:
    previous = last.entry_hash
    for number, (kind, row) in enumerate(rows, start=last.entry + 1):
        about = str(row[LEDGERS[kind]]) if kind in LEDGERS else ""
        entry = {"entry": number, "kind": kind, "subject": about, "content": content_of(row), "recorded_at": now}
        entry["previous_hash"] = previous
        previous = entry["entry_hash"] = hash_of(entry)
        yield entry


def _last_entry(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return connection.table(table).max("entry").fetchall()[0][0] or 0


def _rows_after(connection: duckdb.DuckDBPyConnection, table: str, entry: int) -> list[dict[str, Any]]:
    newer = duckdb.ColumnExpression("entry") > duckdb.ConstantExpression(entry)
    return _dicts(connection.table(table).filter(newer).order("entry"))


def _dicts(relation: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
    columns = relation.columns
    return [dict(zip(columns, row, strict=True)) for row in relation.fetchall()]


def _plain(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return "sha256 " + hashlib.sha256(value.encode()).hexdigest()
    return _plain_time(value)


def _plain_time(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
