"""A batch is looked at twice: answers whose check failed go on to another model, unattended and within the budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner
from helpers import SMALL_TRAINING, TWIN, MadeOnce, copy_installation

from routing_assets.audit.replay import broken_entries, replay, replay_second_round
from routing_assets.batches.known import decision_in_force
from routing_assets.cli import batches as batch_commands
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.main import main
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets import BatchInstructions, LabelledInstructions, write_batch
from routing_assets.datasets.simulated import simulate
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.outcomes.sensors import outcomes_sensor
from routing_assets.defs.second_round.jobs import second_round_sensor
from routing_assets.home import Home
from routing_assets.prediction.panel_refit.networks import CorrectionConfig

AUC = 0.97
REQUEST = {"budget_fraction": 0.3, "second_look": {"wait_hours": 24.0}}


@pytest.fixture(scope="module", autouse=True)
def few_passes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quick = lambda: CorrectionConfig(hidden=16, epochs=4, folds=3)  # noqa: E731
        patch.setattr("routing_assets.prediction.second_look.posterior.CorrectionConfig", quick)
        yield


@pytest.fixture(scope="module")
def truth() -> LabelledInstructions:
    """Sixty instructions that the router has not seen, and what every model would answer."""
    return simulate(TWIN, size=60, seed=7, check_auc=AUC)


@pytest.fixture(scope="module")
def sent_out_once(truth: LabelledInstructions, made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router of labels with checks, and a batch that it routed for two rounds."""
    file = tmp_path_factory.mktemp("batch") / "weekly.parquet"
    write_batch(BatchInstructions(truth.instruction_id, truth.instruction, truth.task), file)

    def route(home: Home) -> None:
        labels = {**SMALL_TRAINING["labelled_instructions"], "size": 600, "check_auc": AUC}
        with instance_of(home) as instance:
            run_job(instance, "train_router", ops={**SMALL_TRAINING, "labelled_instructions": labels})
        batch_commands.route(home, file, REQUEST)

    return made_once("sent_out", route)


@pytest.fixture
def sent_out(home: Home, sent_out_once: Path) -> Home:
    copy_installation(sent_out_once, home)
    return home


def report(
    home: Home, truth: LabelledInstructions, path: Path, asset: str = "routed_batch", rows: slice = slice(None)
) -> Path:
    """What a runner reports of each call: its check and its bill."""
    table = home.store.read(asset, "weekly")
    column = {model: k for k, model in enumerate(truth.models)}
    lines = []
    for n, row in list(enumerate(table.to_pylist()))[rows]:
        if row.get("escalated", True):
            check = float(truth.signals["check"][n, column[row["model"]]])
            told = {"instruction_id": row["instruction_id"], "model": row["model"], "check": check, "cost": row["cost"]}
            lines.append(json.dumps(told))
    path.write_text("\n".join(lines) + "\n")
    return path


def tick(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    result = second_round_sensor(dg.build_sensor_context(instance=instance, resources={"home": RoutingHome()}))
    return [] if isinstance(result, dg.SkipReason) else list(result)


def test_the_first_round_plans_its_looks_within_the_budget(sent_out: Home) -> None:
    routed, decision = sent_out.store.read("routed_batch", "weekly"), decision_in_force(sent_out.warehouse, "weekly")
    both = sum(map(Fraction, routed["cost"].to_pylist() + routed["second_cost"].to_pylist()))
    assert both <= Fraction(decision["budget"])
    assert any(routed["looked_at"].to_pylist())
    (planned,) = sent_out.warehouse.fetch("first_round_of", {"batch_id": "weekly"})
    assert planned["looked_at"] == sum(routed["looked_at"].to_pylist())
    alone = sent_out.store.read("threshold_allocation", "weekly")
    assert "looked_at" not in alone.column_names
    assert replay(sent_out.warehouse, sent_out.store, sent_out.folders, sent_out.shelf, "weekly").identical


def test_failed_checks_are_escalated_unattended(sent_out: Home, truth: LabelledInstructions, tmp_path: Path) -> None:
    inbox = sent_out.folders.outcomes / "weekly"
    inbox.mkdir()
    with instance_of(sent_out) as instance:
        assert tick(instance) == []
        report(sent_out, truth, inbox / "runner.jsonl")
        context = dg.build_sensor_context(instance=instance, resources={"home": RoutingHome()})
        first = outcomes_sensor(context)
        context = dg.build_sensor_context(instance=instance, resources={"home": RoutingHome()}, cursor=first.cursor)
        assert [request.partition_key for request in outcomes_sensor(context).run_requests] == ["weekly"]
        run_job(instance, "record_outcomes", batch_id="weekly")
        (asked,) = tick(instance)
        assert asked.partition_key == "weekly"
        run_job(instance, "decide_second_round", batch_id="weekly")
        assert tick(instance) == []

    table, routed = sent_out.store.read("second_round", "weekly"), sent_out.store.read("routed_batch", "weekly")
    escalated = np.array(table["escalated"].to_pylist())
    check = np.array(table["signal check"].to_pylist())
    assert 0 < escalated.sum() < len(escalated)
    assert check[escalated].mean() < check[~escalated].mean()
    spent = sum(map(Fraction, table["first_cost"].to_pylist() + table["cost"].to_pylist()))
    assert spent <= Fraction(decision_in_force(sent_out.warehouse, "weekly")["budget"])
    column = {model: k for k, model in enumerate(truth.models)}
    right = [
        np.mean([truth.success[n, column[model]] for n, model in enumerate(of["model"].to_pylist())])
        for of in (routed, table)
    ]
    assert right[1] > right[0]

    second = sent_out.folders.outbox / "weekly" / "second"
    handed = [json.loads(line) for file in second.glob("requests-*.jsonl") for line in file.read_text().splitlines()]
    assert sorted(line["custom_id"] for line in handed) == sorted(
        table.filter(table["escalated"])["instruction_id"].to_pylist()
    )
    page = (sent_out.folders.pages / "weekly" / "page.html").read_text()
    assert f"{sum(routed['looked_at'].to_pylist())} answers are looked at" in page
    assert f"{escalated.sum()} of the instructions go on to another model" in page
    assert replay_second_round(sent_out.warehouse, sent_out.store, sent_out.shelf, "weekly").identical
    assert broken_entries(sent_out.warehouse, sent_out.store, sent_out.folders) == []


def test_answers_of_the_second_round_count_for_the_batch(
    sent_out: Home, truth: LabelledInstructions, tmp_path: Path
) -> None:
    batch_commands.outcomes(sent_out, "weekly", report(sent_out, truth, tmp_path / "first.jsonl"))
    run("second-round", "weekly")
    table = sent_out.store.read("second_round", "weekly")
    batch_commands.outcomes(sent_out, "weekly", report(sent_out, truth, tmp_path / "second.jsonl", "second_round"))
    first, second = (sum(table[name].to_pylist()) for name in ("first_cost", "cost"))
    (month,) = sent_out.warehouse.fetch("spend_by_policy")
    assert month["usd_of_billed"] == pytest.approx(first + second)
    assert month["estimated_usd_of_all"] == pytest.approx(first + second)
    escalated = table.filter(table["escalated"]).to_pylist()[0]
    said = run("explain", "weekly", escalated["instruction_id"])
    assert f"second_round           asks {escalated['model']}" in said
    assert "replay of its second round" in run("audit", "weekly")
    assert run("second-round", "weekly", fails=True).strip().endswith("there is never a third")


def test_after_the_wait_the_answers_that_came_decide(
    sent_out: Home, truth: LabelledInstructions, tmp_path: Path
) -> None:
    some = report(sent_out, truth, tmp_path / "some.jsonl", rows=slice(0, 40))
    batch_commands.outcomes(sent_out, "weekly", some)
    with instance_of(sent_out) as instance:
        assert tick(instance) == []
        with sent_out.warehouse.transaction() as ledger:
            ledger.execute("update first_rounds set wait_hours = 0")
        assert len(tick(instance)) == 1
        run_job(instance, "decide_second_round", batch_id="weekly")
    table = sent_out.store.read("second_round", "weekly")
    answered = np.array(table["answered"].to_pylist())
    assert answered.tolist() == [True] * 40 + [False] * 20
    assert not np.array(table["escalated"].to_pylist())[~answered].any()


def test_second_looks_that_cannot_be_planned_are_refused_unless_left_to_auto(sent_out: Home, tmp_path: Path) -> None:
    texts = simulate(TWIN, size=30, seed=8)
    file = tmp_path / "other.parquet"
    write_batch(BatchInstructions(texts.instruction_id, texts.instruction, texts.task), file)
    with pytest.raises(RunFailed, match="the router reads check of an answer"):
        batch_commands.route(sent_out, file, {"second_look": {"signals": ["agreement"]}})
    batch_commands.route(sent_out, file, {"second_look": {"signals": ["agreement"], "when": "auto"}})
    summary = json.loads(sent_out.store.read("routed_batch", "other").schema.metadata[b"summary"])
    assert "the router reads check" in summary["second_look"]["not_planned"]
    assert sent_out.warehouse.fetch("first_round_of", {"batch_id": "other"}) == []


def run(*arguments: str, fails: bool = False) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert (result.exit_code != 0) == fails, result.output
    return result.output
