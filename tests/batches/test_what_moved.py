"""What moved between two decisions is counted, and valued by the estimates of the newer one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from routing_assets.batches.what_moved import GONE, NEW, compare_decisions
from routing_assets.foundation.long_table import long_table
from routing_assets.foundation.wide_matrix import wide_table
from routing_assets.storage.draft import Draft, write_table

MODELS = ("dear", "cheap")


def routed(ids: list[str], models: list[str], **changed: str) -> pa.Table:
    summary = {"router_version": "r", "price_version": "p", "settings_version": "s"} | changed
    about = {b"summary": json.dumps(summary).encode(), b"file_sha256": changed.get("file", "f").encode()}
    return pa.table({"instruction_id": ids, "model": models}).replace_schema_metadata(about)


@pytest.mark.parametrize("block", [1, 3, 131_072])
@pytest.mark.parametrize("kind", ["long", "wide", "in parts"])
def test_moves_are_counted_and_valued_at_the_new_estimates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, block: int
) -> None:
    monkeypatch.setattr("routing_assets.storage.blocks.PART_ROWS", block)
    ids = np.array(["a", "b", "c", "n"], dtype=object)
    about = {"models": json.dumps(MODELS)}
    success = np.array([[0.9, 0.8], [0.9, 0.2], [0.5, 0.4], [0.9, 0.9]])
    cost = np.array([[3.0, 1.0]] * 4)
    names = pa.array(ids, pa.string())
    tables = [
        routed(["a", "b", "c", "x"], ["dear", "cheap", "gone-model", "dear"]),
        routed(list(ids), ["cheap", "dear", "dear", "cheap"], router_version="r2", file="g"),
        *(
            long_table(ids, MODELS, {name: values}, about=about)
            if kind == "long"
            else wide_table(MODELS, {name: values}, others={"instruction_id": names})
            for name, values in (("decision", success), ("cost", cost))
        ),
    ]
    if kind == "in parts":
        drafts = [Draft(str(tmp_path / str(number)), table.schema) for number, table in enumerate(tables)]
        tables = [write_table(draft, [table], part_rows=2) for draft, table in zip(drafts, tables, strict=True)]
    change = compare_decisions(*tables, tmp_path)
    assert change.reasons == ("file", "router")
    assert set(change.moves) == {
        ("dear", "cheap", 1),
        ("cheap", "dear", 1),
        ("gone-model", "dear", 1),
        (NEW, "cheap", 1),
        (GONE, GONE, 1),
    }
    assert (change.kept, change.moved) == (0, 3)
    assert change.cost_change_usd == 0.0
    np.testing.assert_allclose(change.success_change, (0.8 - 0.9) + (0.9 - 0.2))
