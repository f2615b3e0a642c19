"""The ledger of decisions: a run decides a batch once, however often it is retried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from routing_assets.batches.ledger import REALS, by_model_and_tenant, record_decision
from routing_assets.storage.draft import Draft, write_table
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


@pytest.mark.parametrize("block", [2, 131_072])
@pytest.mark.parametrize("grouped", [True, False])
def test_traffic_is_summed_by_model_and_tenant_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grouped: bool, block: int
) -> None:
    monkeypatch.setattr("routing_assets.storage.blocks.PART_ROWS", block)
    routed = pa.table(
        {
            "model": pa.array(["a", "b", "a", "a", "b"]).dictionary_encode(),
            "cost": [1.0, 2.0, 4.0, 8.0, 16.0],
            "success": [0.5, None, 1.0, None, None],
        }
    )
    instructions = pa.table({"instruction_id": list("12345")})
    if grouped:
        instructions = instructions.append_column("group", pa.array(["x", "x", None, "x", "y"]))
    parts = write_table(Draft(str(tmp_path), routed.schema), [routed], part_rows=3)
    figures = [("cost", "count"), ("cost", "sum"), ("success", "count"), ("success", "sum")]
    rows = by_model_and_tenant(parts, instructions, figures).to_pylist()
    found = {(row["model"], row["tenant"]): tuple(row[f"{name}_{figure}"] for name, figure in figures) for row in rows}
    assert found == (
        {
            ("a", "x"): (2, 9.0, 1, 0.5),
            ("b", "x"): (1, 2.0, 0, None),
            ("a", "-"): (1, 4.0, 1, 1.0),
            ("b", "y"): (1, 16.0, 0, None),
        }
        if grouped
        else {("a", "-"): (3, 13.0, 2, 1.5), ("b", "-"): (2, 18.0, 0, None)}
    )
