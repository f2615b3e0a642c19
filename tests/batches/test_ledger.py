"""The ledger of decisions: a run decides a batch once, however often it is retried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from routing_assets.batches.ledger import REALS, record_decision
from routing_assets.storage.warehouse import Warehouse

WORDS = (
    "file_sha256",
    "router_version",
    "price_version",
    "policy",
    "settings_version",
    "status",
    "routed_path",
    "routed_sha256",
)


def enter(warehouse: Warehouse, batch: str, run: str, usd: float = 1.0) -> None:
    decision: dict[str, Any] = dict.fromkeys(WORDS, "x") | dict.fromkeys(REALS, usd)
    decision |= {"batch_id": batch, "dagster_run_id": run, "settings": "{}", "instructions": 40}
    with warehouse.transaction() as connection:
        record_decision(connection, decision)


def test_a_run_that_is_retried_decides_a_batch_once(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    warehouse.create()
    for batch, run, usd in (("a", "first", 1.0), ("a", "first", 2.0), ("b", "first", 3.0), ("a", "second", 4.0)):
        enter(warehouse, batch, run, usd)
    entries = warehouse.fetch("ledger_entries")
    assert [(row["entry"], row["batch_id"], row["dagster_run_id"], row["budget"]) for row in entries] == [
        (1, "a", "first", 1.0),
        (2, "b", "first", 3.0),
        (3, "a", "second", 4.0),
    ]
    assert [row["previous_hash"] for row in entries[1:]] == [row["entry_hash"] for row in entries[:-1]]
