"""A batch is routed whole, within its budget, and every assignment can be traced."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.allocation import POLICIES
from routing_assets.audit.trace import trace_instruction
from routing_assets.batches.handoff import read_manifest
from routing_assets.batches.inbox import take_in
from routing_assets.batches.join_small_files import Coalescing
from routing_assets.batches.known import decision_in_force, end_of_batch
from routing_assets.batches.receive import receive
from routing_assets.batches.route import summary_of
from routing_assets.batches.stale import stale_batches
from routing_assets.cli import audit as audit_commands
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import ends
from routing_assets.cli import prices as price_commands
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets import BatchInstructions, LabelledInstructions, load_batch, write_batch
from routing_assets.definitions import defs
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.wide_matrix import wide_matrix
from routing_assets.home import Home
from routing_assets.storage.in_force import prices_in_force
from routing_assets.storage.parquet_store import Store


def test_each_instruction_gets_exactly_one_model_within_the_budget(routed: Home, batch_file: Path) -> None:
    table = routed.store.read("routed_batch", "weekly")
    assert table["instruction_id"].to_pylist() == load_batch(batch_file).instruction_id.tolist()
    spent = sum((Fraction(cost) for cost in table["cost"].to_pylist()), Fraction(0))
    assert spent <= Fraction(summary_of(table)["budget_usd"])
    assert summary_of(table)["gap"] <= 1e-6


def test_the_four_allocations_stand_side_by_side(routed: Home) -> None:
    store = routed.store
    expected = {
        policy: summary_of(store.read(f"{policy}_allocation", "weekly"))["expected_success"]
        for policy in ("ndch", "ndch_p", "mip")
    }
    assert expected["mip"] >= expected["ndch_p"] - 1e-9
    assert expected["mip"] >= expected["ndch"] - 1e-9


def test_one_allocation_can_be_made_alone(routed: Home) -> None:
    before = {policy: routed.store.path(f"{policy}_allocation", "weekly").stat().st_ino for policy in POLICIES}
    with instance_of(routed) as instance:
        job = defs.resolve_implicit_global_asset_job_def()
        run = job.execute_in_process(
            instance=instance, partition_key="weekly", asset_selection=[dg.AssetKey("ndch_p_allocation")]
        )
    (materialised,) = run.get_asset_materialization_events()
    assert materialised.asset_key == dg.AssetKey("ndch_p_allocation")
    assert len(run.get_asset_check_evaluations()) == 2
    after = {policy: routed.store.path(f"{policy}_allocation", "weekly").stat().st_ino for policy in POLICIES}
    assert {policy for policy in POLICIES if before[policy] != after[policy]} == {"ndch_p"}


def test_the_outbox_holds_the_instructions_with_their_models(routed: Home, batch_file: Path) -> None:
    rows = [json.loads(line) for line in (routed.folders.outbox / "weekly" / "routed.jsonl").read_text().splitlines()]
    batch = load_batch(batch_file)
    assert [(row["instruction_id"], row["instruction"]) for row in rows] == list(
        zip(batch.instruction_id, batch.instruction, strict=True)
    )
    parquet = pq.read_table(routed.folders.outbox / "weekly" / "routed.parquet")
    assert parquet["model"].to_pylist() == [row["model"] for row in rows]


def test_each_model_gets_its_own_requests_under_one_manifest(routed: Home) -> None:
    manifest = read_manifest(routed.folders.outbox / "weekly")
    routed_to = Counter(routed.store.read("routed_batch", "weekly")["model"].to_pylist())
    requests = {model: sum(file.rows or 0 for file in manifest.of(model)) for model in routed_to}
    assert requests == dict(routed_to)


def test_one_query_traces_an_assignment_to_everything_behind_it(routed: Home, batch_file: Path) -> None:
    table = routed.store.read("routed_batch", "weekly")
    warehouse = routed.warehouse
    router = warehouse.fetch("latest_router")[0]
    runs = [decision_in_force(routed.warehouse, "weekly")["dagster_run_id"]]
    for row in table.slice(0, 10).to_pylist():
        trace = trace_instruction(warehouse, routed.store, "weekly", row["instruction_id"], runs)
        assert trace is not None
        assert (trace["model"], trace["policy"]) == (row["model"], "mip")
        assert trace["label_hash"] == router["label_hash"]
        assert trace["mlflow_model_version"] == router["mlflow_model_version"]
        assert trace["bucket_lower"] <= trace["scaled"] <= trace["bucket_upper"]
        assert trace["temperature"] > 0
        assert trace["file_name"] == batch_file.name
        assert trace["input_price"] > 0
        assert len(trace["dagster_run_id"]) == 36


def test_a_home_may_have_a_pattern_for_a_name(routed: Home, tmp_path: Path) -> None:
    store = tmp_path / "runs [ab]*?"
    store.symlink_to(routed.store.root)
    instruction = routed.store.read("routed_batch", "weekly")[0][0].as_py()
    runs = [decision_in_force(routed.warehouse, "weekly")["dagster_run_id"]]
    traces = [trace_instruction(routed.warehouse, s, "weekly", instruction, runs) for s in (Store(store), routed.store)]
    assert traces[0] is not None
    assert traces[0] == traces[1]


def test_routing_again_gives_the_identical_table_and_another_line_in_the_ledger(routed: Home, batch_file: Path) -> None:
    first = routed.store.read("routed_batch", "weekly")
    batch_commands.route(routed, batch_file, {"budget_fraction": 0.4})
    second = routed.store.read("routed_batch", "weekly")
    assert second.equals(first)
    with routed.warehouse.reader() as connection:
        assert connection.execute("select count(*) from decisions").fetchone() == (2,)
        assert connection.execute("select count(*) from current_decisions").fetchone() == (1,)


def test_a_budget_that_cannot_pay_names_the_cheapest_that_can(trained: Home, batch_file: Path) -> None:
    with pytest.raises(RunFailed, match="cheapest feasible budget"):
        batch_commands.route(trained, batch_file, {"budget_usd": 1e-9})
    assert not (trained.folders.outbox / "weekly").exists()


def test_an_allocation_over_its_budget_fails_its_check_and_is_not_handed_off(
    trained: Home, batch_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing_assets.defs.batches.allocations.within", lambda cost, budget: False)
    with pytest.raises(RunFailed, match="spend_is_within_budget"):
        batch_commands.route(trained, batch_file, {})
    assert trained.store.path("mip_allocation", "weekly").exists()
    assert not trained.store.path("routed_batch", "weekly").exists()


def test_new_prices_make_a_batch_stale_until_it_is_dispatched(routed: Home, tmp_path: Path) -> None:
    assert stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file) == []
    price_commands.update_prices(routed, price_list(tmp_path))
    stale = stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file)
    assert [(batch.batch_id, batch.reasons) for batch in stale] == [("weekly", ("prices",))]
    ends.dispatch(routed, "weekly")
    assert stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file) == []


def price_list(folder: Path, times: float = 1.0) -> str:
    """A catalog of the twin's models."""
    path = folder / "prices.yaml"
    prices = {"R1": 2.0, "R1-32B": 1.0, "R1-14B": 0.8, "R1-7B": 0.6, "R1-1.5B": 0.1}
    path.write_text("models:\n" + "".join(f"  {name}: {{price: {times * p}}}\n" for name, p in prices.items()))
    return str(path)


def labels_that_record(home: Home, cost: float | None) -> None:
    """Put labels in the store that record no tokens, and each call's cost or none."""
    labels = LabelledInstructions.from_arrow(home.store.read("labelled_instructions"))
    of_calls = None if cost is None else cost * np.arange(1.0, len(labels.models) + 1) * np.ones((len(labels), 1))
    labels = replace(labels, input_tokens=None, output_tokens=None, cost=of_calls)
    home.store.write(labels.to_arrow(), "labelled_instructions", None, "test")


def test_the_command_says_which_prices_change_no_estimate(
    routed: Home, batch_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    price_commands.update_prices(routed, price_list(tmp_path))
    assert "warning" not in capsys.readouterr().err
    labels_that_record(routed, cost=0.01)
    estimates = []
    for times in (1.0, 10.0):
        price_commands.update_prices(routed, price_list(tmp_path, times))
        warning = capsys.readouterr().err
        assert "warning: the prices of R1, R1-32B, R1-14B, R1-7B, R1-1.5B in it change no estimate" in warning
        assert "record tokens" in warning
        estimates.append(price_commands.costs_in_force(routed).mean_cost.tolist())
    assert estimates[0] == estimates[1]
    batch_commands.route(routed, batch_file, {})
    capsys.readouterr()
    audit_commands.explain(routed, "weekly", load_batch(batch_file).instruction_id[0])
    (source,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("estimated_cost_source")]
    assert source.endswith("costs recorded with the labels")


def test_route_prints_what_a_confidence_holds_back(
    trained: Home, batch_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_commands.route(trained, batch_file, {"budget_fraction": 0.6, "confidence": 0.9})
    said = re.search(r"(\S+) USD are held back, .* probability of (\S+)%", capsys.readouterr().out)
    assert said is not None
    assert float(said[1]) > 0
    assert 2 < float(said[2]) < 15
    batch_commands.route(trained, batch_file, {"budget_fraction": 0.6})
    assert "held back" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_batch_of_far_longer_texts_than_the_labelled_is_not_priced_without_a_word(
    trained: Home, batch_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels_that_record(trained, cost=None)
    price_commands.update_prices(trained, price_list(tmp_path))
    assert "128 output tokens per call assumed" in capsys.readouterr().out
    batch_commands.route(trained, batch_file, {})
    assert "warning" not in capsys.readouterr().err
    batch = load_batch(batch_file)
    texts = np.array([100 * text for text in batch.instruction[:10]], dtype=object)
    long = BatchInstructions(batch.instruction_id[:10], texts)
    write_batch(long, tmp_path / "long.parquet")
    batch_commands.route(trained, tmp_path / "long.parquet", {})
    warning = capsys.readouterr().err
    assert "times as long as the labelled ones" in warning
    assert "record costs or tokens" in warning
    with instance_of(trained) as instance:
        made = instance.get_latest_materialization_event(dg.AssetKey("cost_matrix"))
    assert made is not None
    assert made.asset_materialization is not None
    assert str(made.asset_materialization.metadata["doubt"].value) in warning


def test_a_decision_on_another_file_than_the_newest_is_not_dispatched(
    routed: Home, batch_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = load_batch(batch_file).take(slice(0, 30))
    write_batch(half, newer := tmp_path / "weekly.parquet")
    with pytest.raises(RunFailed, match="cheapest feasible budget"):
        batch_commands.route(routed, newer, {"budget_usd": 1e-9})
    assert "weekly.parquet replaces the earlier file of 60 instructions of batch 'weekly'" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match=r"its newest file .* 60 instructions.* another budget"):
        ends.dispatch(routed, "weekly")
    assert end_of_batch(routed.warehouse, "weekly") is None
    batch_commands.route(routed, newer, {"budget_fraction": 0.5})
    ends.dispatch(routed, "weekly")


def test_a_decision_that_is_not_as_the_newest_request_wants_it_is_not_dispatched(
    routed: Home, batch_file: Path
) -> None:
    with pytest.raises(RunFailed, match="cheapest feasible budget"):
        batch_commands.route(routed, batch_file, {"budget_usd": 1e-9})
    with pytest.raises(InvalidInput, match=r"with budget_usd 1e-09; .* with budget_usd unset\. Route it"):
        ends.dispatch(routed, "weekly")
    assert end_of_batch(routed.warehouse, "weekly") is None
    batch_commands.route(routed, batch_file, {"budget_usd": 1.0, "constraints": {"max_share": {"R1": 1}}})
    ends.dispatch(routed, "weekly")


def test_a_budget_that_the_period_cuts_says_so(
    trained: Home, batch_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_commands.route(trained, batch_file, {"budget_usd": 3.0})
    assert "budget:" not in capsys.readouterr().out
    trained.policy_file.write_text("period: {budget_usd: 0.5}\n")
    batch_commands.route(trained, batch_file, {"budget_usd": 3.0}, batch_id="cut", duplicate=True)
    assert "budget: all that the period has left of the 3 USD set for it" in capsys.readouterr().out


def test_a_budget_next_to_the_greatest_float_is_as_good_as_any(trained: Home, batch_file: Path) -> None:
    batch_commands.route(trained, batch_file, {"budget_usd": 1.7e308, "policy": "ndch"})
    assert decision_in_force(trained.warehouse, "weekly")["budget"] == 1.7e308
    with instance_of(trained) as instance:
        made = instance.get_latest_materialization_event(dg.AssetKey("mip_allocation"))
    assert made is not None
    assert made.asset_materialization is not None
    assert made.asset_materialization.metadata["what_other_budgets_buy"].value == "*nothing*"


def test_instructions_that_no_model_may_get_are_named_with_what_bars_them(trained: Home, batch_file: Path) -> None:
    first = load_batch(batch_file).instruction_id[0]
    said = (
        rf"no model is left under required_tags for 60 of 60 instructions, the first of them '{first}'.*Give models the"
    )
    with pytest.raises(RunFailed, match=said):
        batch_commands.route(trained, batch_file, {"constraints": {"required_tags": ["eu"]}})


def test_an_ending_that_cannot_be_written_is_refused_before_anything_is_routed(
    routed: Home, batch_file: Path, tmp_path: Path
) -> None:
    decided = decision_in_force(routed.warehouse, "weekly")
    with pytest.raises(InvalidInput, match=r"r\.xlsx.* no known ending"):
        batch_commands.route(routed, batch_file, {}, output=tmp_path / "r.xlsx")
    assert decision_in_force(routed.warehouse, "weekly") == decided
    assert stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file) == []


def test_an_error_that_speaks_for_itself_is_shown_without_its_class(home: Home) -> None:
    with (
        instance_of(home) as instance,
        pytest.raises(RunFailed, match="there is no labelled_instructions yet") as caught,
    ):
        run_job(instance, "update_prices")
    assert "errors.InvalidInput" not in str(caught.value)


def test_a_dispatched_batch_is_frozen(routed: Home, batch_file: Path) -> None:
    ends.dispatch(routed, "weekly")
    with pytest.raises(InvalidInput, match="dispatched"):
        batch_commands.route(routed, batch_file, {})


def test_prices_of_a_run_that_died_before_it_stored_them_route_nothing_again(routed: Home) -> None:
    row = {"price_version": "entered", "model": "R1", "mean_cost": 1.0, "source": "catalog", "dagster_run_id": "died"}
    routed.warehouse.append("price_lists", pa.Table.from_pylist([row]))
    assert stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file) == []
    assert prices_in_force(routed.store)[1] == ("R1", "R1-32B", "R1-14B", "R1-7B", "R1-1.5B")


def test_a_changed_standing_policy_makes_batches_without_own_settings_stale(trained: Home, batch_file: Path) -> None:
    batch_commands.route(trained, batch_file, {})
    trained.policy_file.write_text("policy: ndch_p\nbudget_fraction: 0.6\n")
    assert [
        batch.reasons for batch in stale_batches(trained.warehouse, trained.store, trained.folders, trained.policy_file)
    ] == [("policy",)]


def test_constraints_hold_though_other_policies_cannot_keep_them(
    trained: Home, batch_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_commands.route(trained, batch_file, {"constraints": {"max_share": {"R1": 0.1}}, "budget_fraction": 0.9})
    table = trained.store.read("routed_batch", "weekly")
    assert 0 < Counter(table["model"].to_pylist())["R1"] <= 6
    compared = summary_of(trained.store.read("ndch_allocation", "weekly"))
    assert compared["notes"]["not_kept"] == ["max_share"]
    said = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if "_p" in line or "mip" in line}
    assert said["ndch_p"].rstrip().endswith("ignores max_share")
    assert "ignores" not in said["mip"]


def test_a_limit_on_latencies_that_no_catalog_gives_is_refused(trained: Home, batch_file: Path) -> None:
    with pytest.raises(RunFailed, match=r"batch_budget.*mean_latency limits latency"):
        batch_commands.route(trained, batch_file, {"constraints": {"mean_latency": 0.001}, "budget_fraction": 0.9})


@pytest.mark.slow
def test_a_budget_that_only_the_mip_can_keep_is_kept(trained: Home, batch_file: Path) -> None:
    batch_commands.route(trained, batch_file, {"constraints": {"max_share": {"R1-1.5B": 1.0}}, "budget_fraction": 0.9})
    costs = wide_matrix(trained.store.read("cost_matrix", "weekly"), "cost")
    least = float(costs.min(axis=1).sum())
    batch_commands.route(trained, batch_file, {"budget_usd": least * 1.0001})
    summary = summary_of(trained.store.read("routed_batch", "weekly"))
    assert summary["policy"] == "mip"
    assert summary["cost_usd"] <= least * 1.0001


@pytest.mark.parametrize("kind", ["tables", "requests"])
def test_the_parts_of_a_joined_batch_can_be_told_apart(trained: Home, kind: str) -> None:
    for name in ("a", "b"):
        text = f"What is 2 + 2, asks {name}?"
        table = {"instruction_id": "1", "instruction": text}
        request = {"custom_id": "1", "body": {"messages": [{"role": "user", "content": text}], "seed": 7}}
        (trained.folders.inbox / f"{name}.jsonl").write_text(json.dumps(table if kind == "tables" else request) + "\n")
    settings, minutes = Coalescing(below=100, wait_minutes=10), 60 * 10**9
    first = take_in(trained.warehouse, trained.folders, {}, settings, now_ns=10**18)
    (received,) = take_in(
        trained.warehouse, trained.folders, first.seen, settings, now_ns=10**18 + 10 * minutes
    ).received
    with instance_of(trained) as instance:
        run_job(instance, "route_batch", batch_id=received.batch_id)
    folder = trained.folders.outbox / received.batch_id
    for name in ("a", "b"):
        (row,) = [json.loads(line) for line in (folder / "by_source_file" / f"{name}.jsonl").read_text().splitlines()]
        assert (row["instruction_id"], row["instruction"]) == ("1", f"What is 2 + 2, asks {name}?")
    sent = [json.loads(line) for path in folder.glob("requests-*.jsonl") for line in path.read_text().splitlines()]
    assert {request["custom_id"] for request in sent} == {"a/1", "b/1"}
    assert all("source_file" not in request for request in sent)
    assert all(request["body"].get("seed") == (7 if kind == "requests" else None) for request in sent)


def test_a_file_that_arrives_during_a_run_is_not_sent_under_the_decision_on_the_one_before(
    trained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def requests(seed: int) -> Path:
        request = {"custom_id": "1", "body": {"messages": [{"role": "user", "content": "2 + 2?"}], "seed": seed}}
        path = tmp_path / "weekly.jsonl"
        path.write_text(json.dumps(request) + "\n")
        return path

    def another_arrives(*_: object) -> dict[str, object]:
        receive(trained.warehouse, trained.folders, requests(seed=2))
        return {}

    monkeypatch.setattr("routing_assets.defs.batches.routed.record_changes", another_arrives)
    batch_commands.route(trained, requests(seed=1), {})
    (sent,) = (trained.folders.outbox / "weekly").glob("requests-*.jsonl")
    assert json.loads(sent.read_text())["body"]["seed"] == 1
    assert [
        batch.reasons for batch in stale_batches(trained.warehouse, trained.store, trained.folders, trained.policy_file)
    ] == [("file",)]


def test_routing_before_training_says_what_to_do(home: Home, batch_file: Path) -> None:
    with pytest.raises(InvalidInput, match="Run routing-assets train first"):
        batch_commands.route(home, batch_file, {})
