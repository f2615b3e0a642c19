"""A routed file that the ledger names may be gone only once its batch was retired."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
from helpers import decide

from routing_assets.audit.replay import broken_decisions
from routing_assets.home import Home
from routing_assets.storage.draft import write_table


def test_the_routed_file_of_a_batch_that_is_not_retired_may_not_be_gone(home: Home) -> None:
    warehouse = home.create().warehouse
    warehouse.create()
    home.store.root.mkdir(exist_ok=True)
    for batch in ("kept", "lost", "retired"):
        decide(warehouse, batch, f"run-{batch}", home.store.root / f"routed-{batch}")
    warehouse.append("retirements", pa.table({"batch_id": ["retired"], "why": ["old"]}))
    assert broken_decisions(home.warehouse, home.store) == []
    for batch in ("lost", "retired"):
        (home.store.root / f"routed-{batch}").unlink()
    assert broken_decisions(home.warehouse, home.store) == ["entry 2 (batch lost): routed-lost is gone"]


def test_a_decision_in_parts_is_as_recorded_until_a_part_is_damaged(home: Home) -> None:
    home.create().warehouse.create()
    rows = pa.table({"instruction_id": [str(i) for i in range(7)]})
    folder = home.store.root / "routed_batch" / "weekly" / "run"
    table = write_table(home.store.draft("routed_batch", "weekly", "run", rows.schema), [rows], part_rows=3)
    decide(home.warehouse, "weekly", "run", folder)
    assert broken_decisions(home.warehouse, home.store) == []
    Path(table.parts[1].path).write_bytes(b"damaged")
    (found,) = broken_decisions(home.warehouse, home.store)
    assert "entry 1 (batch weekly): routed_batch/weekly/run was changed after it was recorded" in found
    assert "part-000001.parquet: this part of a table is damaged" in found
    (folder / "manifest.json").write_text("{}")
    assert broken_decisions(home.warehouse, home.store) == [
        "entry 1 (batch weekly): routed_batch/weekly/run was changed after it was recorded"
    ]
    shutil.rmtree(folder)
    assert broken_decisions(home.warehouse, home.store) == ["entry 1 (batch weekly): routed_batch/weekly/run is gone"]
