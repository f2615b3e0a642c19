"""A batch in parts is priced, scored and routed like the same batch in one table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from safetensors import safe_open

from routing_assets.audit.replay import replay
from routing_assets.batches.matrices import derive_table, price_part, score_part, sum_costs, sum_requests, sum_scores
from routing_assets.batches.route import summary_of
from routing_assets.batches.shared_texts import embed_shared_texts
from routing_assets.cli import batches as batch_commands
from routing_assets.cli.audit import explain
from routing_assets.engine import Engine, LocalEngine
from routing_assets.foundation.long_table import about
from routing_assets.foundation.wide_matrix import wide_matrix
from routing_assets.home import Home
from routing_assets.storage.draft import Draft, write_table
from routing_assets.storage.in_force import router_in_force
from routing_assets.storage.partitioned import PartitionedTable, single_file

STEPS = ("raw", "scaled", "calibrated", "decision")


@pytest.fixture
def in_parts(routed: Home, tmp_path: Path) -> PartitionedTable:
    """The instructions of the routed batch, 25 to a part."""
    table = routed.store.read("batch_instructions", "weekly")
    return write_table(Draft(str(tmp_path / "instructions"), table.schema), [table], part_rows=25)


@pytest.mark.parametrize(
    "engine",
    [LocalEngine(), pytest.param(LocalEngine(workers=2), marks=pytest.mark.slow)],
    ids=["one process", "two processes"],
)
def test_parts_are_scored_and_priced_like_the_whole(
    routed: Home, in_parts: PartitionedTable, tmp_path: Path, engine: Engine
) -> None:
    scores, costs = (routed.store.read(name, "weekly") for name in ("probability_matrix", "cost_matrix"))
    directory = routed.shelf.folder / router_in_force(routed.warehouse)["router_version"]
    arguments = (directory, routed.shelf.embeddings)
    scored = derive_table(
        engine, score_part, in_parts.parts, lambda schema: Draft(str(tmp_path / "scored"), schema), *arguments
    )
    assert isinstance(scored, PartitionedTable)
    assert [part.rows for part in scored.parts] == [25, 25, 10]
    for step in STEPS:
        np.testing.assert_allclose(wide_matrix(scored.read(), step), wide_matrix(scores, step), atol=1e-6)
    sums, whole = sum_scores(engine, scored), sum_scores(engine, scores)
    assert (sums.rows, sums.valid) == (whole.rows, whole.valid) == (60, True)
    assert sums.best == pytest.approx(whole.best, rel=1e-6)

    prices = routed.store.read("cost_model")
    requests = sum_requests(engine, in_parts.parts)
    priced = derive_table(
        engine, price_part, in_parts.parts, lambda schema: Draft(str(tmp_path / "priced"), schema), prices, requests
    )
    assert np.array_equal(wide_matrix(priced.read(), "cost"), wide_matrix(costs, "cost"))
    assert about(priced) == {**about(costs), "part_rows": "25"}
    np.testing.assert_allclose(sum_costs(engine, priced), sum_costs(engine, costs))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_text_of_several_parts_is_embedded_once_however_they_are_scored(
    routed: Home, tmp_path: Path, workers: int
) -> None:
    """As many processes as the engine has score at the same time, none of which knows what the others embed."""
    engine, embeddings = LocalEngine(workers), tmp_path / "embeddings"
    table = routed.store.read("batch_instructions", "weekly").slice(0, 20)
    own = pc.binary_join_element_wise(table["instruction"], table["instruction_id"], " of part ")
    alone = table.set_column(table.schema.get_field_index("instruction"), "instruction", own)
    batch = write_table(Draft(str(tmp_path / "batch"), table.schema), [table, alone, table, table], part_rows=20)
    directory = routed.shelf.folder / router_in_force(routed.warehouse)["router_version"]
    distinct = len(set(table["instruction"].to_pylist()))

    assert embed_shared_texts(engine, batch, directory, embeddings) == distinct
    assert embedded(embeddings) == distinct
    assert not list(embeddings.glob(".*"))
    derive_table(engine, score_part, batch.parts, lambda s: Draft(str(tmp_path / "scored"), s), directory, embeddings)
    assert embedded(embeddings) == distinct + len(set(own.to_pylist()))


def embedded(folder: Path) -> int:
    """How many embeddings the cache has, those included that were computed twice."""
    total = 0
    for file in folder.rglob("*.safetensors"):
        with safe_open(file, "np") as shard:
            total += len(shard.get_tensor("key"))
    return total


def test_one_part_stays_one_table(routed: Home) -> None:
    instructions = single_file(routed.store.path("batch_instructions", "weekly"))
    requests = sum_requests(LocalEngine(), instructions.parts)
    arguments = (routed.store.read("cost_model"), requests)
    priced = derive_table(LocalEngine(), price_part, instructions.parts, lambda _: pytest.fail("a draft"), *arguments)
    stored = routed.store.read("cost_matrix", "weekly")
    assert isinstance(priced, pa.Table)
    assert (priced.to_pylist(), about(priced)) == (stored.to_pylist(), about(stored))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables in parts have 25 rows to a part."""
    monkeypatch.setattr("routing_assets.storage.partitioned.PART_ROWS", 25)


@pytest.mark.usefixtures("small_parts")
def test_a_batch_of_several_parts_is_routed_replayed_and_explained(
    trained: Home, routed_once: Path, batch_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = Home(routed_once).store.read("routed_batch", "weekly")
    batch_commands.route(trained, batch_file, {"budget_fraction": 0.4})
    assert "60 instructions by mip" in capsys.readouterr().out
    for name in ("batch_instructions", "probability_matrix", "cost_matrix", "ndch_allocation", "routed_batch"):
        assert [part.rows for part in trained.store.parts(name, "weekly").parts] == [25, 25, 10]
    again = trained.store.read("routed_batch", "weekly")
    assert again["model"].to_pylist() == once["model"].to_pylist()
    assert again["cost"].equals(once["cost"])
    figures = ("cost_usd", "overspend_probability", "expected_success", "shadow_price", "budget_usd", "instructions")
    whole, parted = summary_of(once), summary_of(again)
    assert [parted[name] for name in figures] == pytest.approx([whole[name] for name in figures], rel=1e-5)
    assert replay(trained.warehouse, trained.store, trained.folders, trained.shelf, "weekly").differences == ()
    explain(trained, "weekly", once["instruction_id"][59].as_py())
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.strip())
    assert float(said["used_probability"]) == pytest.approx(once["expected_success"][59].as_py(), rel=1e-5)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "policy",
    [
        "{budget_fraction: 0.4, confidence: 0.9}",
        pytest.param("{budget_fraction: 0.4, constraints: {max_share: {R1: 0.2}}}", marks=pytest.mark.slow),
        "{period: {budget_usd: 0.02}}",
    ],
    ids=["confidence", "shares", "month"],
)
def test_settings_that_need_the_whole_batch_hold_for_one_in_parts(trained: Home, batch_file: Path, policy: str) -> None:
    trained.policy_file.write_text(policy)
    batch_commands.route(trained, batch_file, {})
    parted = summary_of(trained.store.read("routed_batch", "weekly"))
    assert parted["part_rows"] == 25
    assert replay(trained.warehouse, trained.store, trained.folders, trained.shelf, "weekly").differences == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("routing_assets.storage.partitioned.PART_ROWS", 100)
        batch_commands.route(trained, batch_file, {})
    whole = summary_of(trained.store.read("routed_batch", "weekly"))
    assert "part_rows" not in whole
    figures = ("cost_usd", "allocated_usd", "expected_success", "budget_usd")
    assert [parted[name] for name in figures] == pytest.approx([whole[name] for name in figures], rel=1e-4)
