"""The checks between an allocation and its export see what the allocation itself would not."""

from __future__ import annotations

import pyarrow as pa
import pytest

from routing_assets.defs.batches.allocations import is_assigned_once
from routing_assets.defs.batches.routed import ASSIGNED_ONCE

BATCH = pa.table({"instruction_id": ["1", "2", "3"]})


@pytest.mark.parametrize(
    ("ids", "models", "passes"),
    [
        (["1", "2", "3"], ["a", "b", "a"], True),
        (["1", "2", "2"], ["a", "b", "a"], False),
        (["1", "2"], ["a", "b"], False),
        (["1", "2", "3", "4"], ["a", "b", "a", "a"], False),
        (["1", "3", "2"], ["a", "b", "a"], False),
        (["1", "2", "3"], ["a", None, "a"], False),
    ],
    ids=["each once", "one twice", "one missing", "one too many", "another order", "one without a model"],
)
def test_every_instruction_is_assigned_once(ids: list[str], models: list[str | None], passes: bool) -> None:
    table = pa.table({"instruction_id": ids, "model": pa.array(models, pa.string())})
    assert is_assigned_once(ASSIGNED_ONCE, table, BATCH).passed == passes
