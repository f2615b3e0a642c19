"""A routed file that the ledger names may be gone only once its batch was retired."""

from __future__ import annotations

import pyarrow as pa
from helpers import decide

from routing_assets.audit.replay import broken_decisions
from routing_assets.home import Home


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
