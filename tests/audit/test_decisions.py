"""A routed file that the ledger names may be gone only once its batch was retired."""

from __future__ import annotations

import pyarrow as pa
from helpers import decide

from routing_assets.audit.replay import broken_decisions
from routing_assets.foundation.home import Home
from routing_assets.storage.warehouse import Warehouse


def test_the_routed_file_of_a_batch_that_is_not_retired_may_not_be_gone(home: Home) -> None:
    warehouse = Warehouse(home.create().warehouse)
    warehouse.create()
    home.store.mkdir(exist_ok=True)
    for batch in ("kept", "lost", "retired"):
        decide(warehouse, batch, f"run-{batch}", home.store / f"routed-{batch}")
    warehouse.append("retirements", pa.table({"batch_id": ["retired"], "why": ["old"]}))
    assert broken_decisions(home) == []
    for batch in ("lost", "retired"):
        (home.store / f"routed-{batch}").unlink()
    assert broken_decisions(home) == ["entry 2 (batch lost): routed-lost is gone"]
