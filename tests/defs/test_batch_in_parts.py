"""A batch of more than one part is stored in parts, and routed as it is from one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing_assets.cli import batches as batch_commands
from routing_assets.datasets import BatchInstructions, load_batch
from routing_assets.defs.batches import scores
from routing_assets.home import Home


def test_a_batch_of_several_parts_is_routed_as_from_one_file(
    routed: Home, batch_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = routed.store
    instructions, chosen = store.read("batch_instructions", "weekly"), store.read("routed_batch", "weekly")
    assert len(store.parts("batch_instructions", "weekly").parts) == 1
    monkeypatch.setattr(scores, "PART_ROWS", 20)
    batch_commands.route(routed, batch_file, {"budget_fraction": 0.4})
    table = store.parts("batch_instructions", "weekly")
    assert len(table.parts) == -(-len(instructions) // 20)
    assert table.read().equals(instructions, check_metadata=True)
    assert store.read("routed_batch", "weekly")["model"].to_pylist() == chosen["model"].to_pylist()
    ids = [name for part in table.parts for name in BatchInstructions.from_arrow(part.read()).instruction_id]
    assert ids == load_batch(batch_file).instruction_id.tolist()
