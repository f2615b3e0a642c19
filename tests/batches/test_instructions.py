"""Instructions that are kept in parts are those that are kept in memory, and so are the records set aside."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.batches.instructions import keep_instructions
from routing_assets.batches.policy import RoutingSettings
from routing_assets.datasets.batch import BatchInstructions, set_aside_of
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import about
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.storage.draft import Draft
from routing_assets.storage.partitioned import PartitionedTable

CATALOG = ModelCatalog(
    (ModelEntry("short", 1.0, 1.0, context_tokens=20), ModelEntry("long", 1.0, 1.0, context_tokens=50))
)
MODELS = ("short", "long")
RECORDS = {
    "kept": {"instruction": "Name a fruit."},
    "long": {"instruction": "fruit " * 100},
    "blank": {"instruction": " "},
    "wrong": {"instruction": "Name a nut.", "input_tokens": -1},
}


@settings(deadline=None)
@given(
    kinds=st.lists(st.sampled_from(list(RECORDS)), min_size=4, max_size=14).filter(lambda kinds: "kept" in kinds),
    part_rows=st.integers(1, 3),
)
def test_parts_hold_what_memory_holds(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], part_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("batch")
    file = folder / "batch.jsonl"
    file.write_text(
        "".join(json.dumps({"instruction_id": str(i), **RECORDS[kind]}) + "\n" for i, kind in enumerate(kinds))
    )

    def keep(rows: int) -> tuple[BatchInstructions, dict[str, tuple[int, ...]], object]:
        draft = partial(Draft, str(folder / f"parts-{rows}"))
        kept = keep_instructions(file, "abc", MODELS, CATALOG, RoutingSettings(), draft, part_rows=rows)
        table = kept.table.read() if isinstance(kept.table, PartitionedTable) else kept.table
        assert about(table)["file_sha256"] == "abc"
        assert set_aside_of(table) == kept.set_aside
        return BatchInstructions.from_arrow(table), dict(kept.set_aside), kept.beyond_text

    whole, aside, beyond = keep(1_000)
    parted, aside_of_parts, beyond_of_parts = keep(part_rows)
    assert parted.instruction_id.tolist() == whole.instruction_id.tolist()
    assert parted.instruction.tolist() == whole.instruction.tolist()
    assert aside_of_parts == aside
    assert beyond_of_parts == pytest.approx(beyond)


@pytest.mark.parametrize("part_rows", [1, 100])
def test_a_batch_of_which_no_model_may_get_anything_is_refused(tmp_path: Path, part_rows: int) -> None:
    file = tmp_path / "batch.jsonl"
    file.write_text("".join(json.dumps({"instruction_id": i, **RECORDS["long"]}) + "\n" for i in "abc"))
    with pytest.raises(InvalidInput, match="no model is left under context_tokens"):
        keep_instructions(
            file,
            "abc",
            MODELS,
            CATALOG,
            RoutingSettings(),
            partial(Draft, str(tmp_path / "parts")),
            part_rows=part_rows,
        )
