"""The loop closes itself: outcomes show a drift, a recalibrated router takes over, a worse one does not, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import MadeOnce, copy_installation

from routing_assets.batches.known import decision_in_force
from routing_assets.batches.stale import stale_batches
from routing_assets.cli import audit as audit_commands
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import listing
from routing_assets.cli import routers as router_commands
from routing_assets.cli.report import report
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets import BatchInstructions, write_batch
from routing_assets.datasets.simulated import simulate
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.training.sensors import act_on_drift
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.monitoring import DriftSettings
from routing_assets.prediction.calibration.buckets import SETTINGS
from routing_assets.routers import mlflow_registry as tracking
from routing_assets.routers.release import rollback
from routing_assets.routers.shelf import load_router
from routing_assets.routers.watch import watch
from routing_assets.storage.in_force import router_in_force

FRACTION = {"budget_fraction": 0.4}


def new_batch(folder: Path, name: str, size: int, seed: int, twin: str = "r1_math") -> Path:
    labels = simulate(twin, size=size, seed=seed)
    path = folder / f"{name}.parquet"
    write_batch(BatchInstructions(labels.instruction_id, labels.instruction, labels.task), path)
    return path


def report_outcomes(home: Home, batch_id: str, folder: Path, fall: float, luck: np.ndarray | None = None) -> None:
    """Outcomes of a batch that succeed less often than promised, by ``fall``; ``luck`` is uniform, of each row."""
    routed = home.store.read("routed_batch", batch_id)
    promised = routed["expected_success"].to_numpy()
    success = (np.random.default_rng(1).random(len(promised)) if luck is None else luck) < promised - fall
    columns = (routed["instruction_id"].to_pylist(), routed["model"].to_pylist(), success.tolist())
    rows = [json.dumps({"instruction_id": i, "model": m, "success": int(s)}) for i, m, s in zip(*columns, strict=True)]
    path = folder / f"{batch_id}-outcomes.jsonl"
    path.write_text("\n".join(rows) + "\n")
    batch_commands.outcomes(home, batch_id, path)


def wanted(instance: dg.DagsterInstance) -> dg.RunRequest | None:
    asked = act_on_drift(dg.build_sensor_context(instance=instance, resources={"home": RoutingHome()}))
    return asked if isinstance(asked, dg.RunRequest) else None


def release_again(home: Home) -> None:
    """Materialise ``router_release`` alone, as one can in the UI: its comparison is an old one."""
    from routing_assets.definitions import defs

    with instance_of(home) as instance:
        job = defs.resolve_job_def("recalibrate_router")
        result = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("router_release")])
    assert result.success


def aliases(home: Home) -> dict[str, int]:
    model = tracking.connect(home.registry).get_registered_model(tracking.REGISTERED_MODEL)
    return {name: int(version) for name, version in model.aliases.items()}


@pytest.fixture(scope="package")
def drifted_once(trained_once: Path, made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One open batch, and one whose outcomes fell 25 points short of what was promised, with the drift report."""
    folder = tmp_path_factory.mktemp("drifted")

    def drift(home: Home) -> None:
        copy_installation(trained_once, home)
        batch_commands.route(home, new_batch(folder, "open", 60, seed=21), FRACTION)
        batch_commands.route(home, new_batch(folder, "sent", 300, seed=22), FRACTION)
        report_outcomes(home, "sent", folder, fall=0.25)
        with instance_of(home) as instance:
            run_job(instance, "watch_router")

    return made_once("drifted", drift)


@pytest.fixture
def drifted(home: Home, drifted_once: Path) -> Home:
    copy_installation(drifted_once, home)
    return home


def test_drift_recalibrates_the_router_which_takes_over_and_can_be_rolled_back(
    drifted: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    before, decided = router_in_force(drifted.warehouse), decision_in_force(drifted.warehouse, "open")
    with instance_of(drifted) as instance:
        asked = wanted(instance)
        assert asked is not None
        assert asked.job_name == "recalibrate_router"
        assert asked.run_key == wanted(instance).run_key  # type: ignore[union-attr]
        result = run_job(instance, "recalibrate_router")
        assert wanted(instance) is None
    shown = result.asset_materializations_for_node("router_comparison")[0].metadata
    assert shown["takes_over"].value is True
    assert "before" in shown["before_and_after"].value

    after = router_in_force(drifted.warehouse)
    assert (after["reason"], after["classifier_id"]) == ("comparison", before["classifier_id"])
    old, new = (load_router(drifted.shelf, of["router_version"]).buckets for of in (before, after))
    assert json.loads(new.schema.metadata[SETTINGS]) == json.loads(old.schema.metadata[SETTINGS])
    compared = drifted.warehouse.fetch("latest_comparison")[0]
    assert (compared["champion"], compared["challenger"]) == (before["router_version"], after["router_version"])
    assert compared["challenger_ece"] < compared["champion_ece"] - 0.1
    for figure in ("brier", "log_loss"):
        assert compared[f"challenger_{figure}"] < compared[f"champion_{figure}"]
    assert aliases(drifted) == {
        "champion": after["mlflow_model_version"],
        "previous": before["mlflow_model_version"],
    }

    assert [
        (batch.batch_id, batch.reasons)
        for batch in stale_batches(drifted.warehouse, drifted.store, drifted.folders, drifted.policy_file)
    ] == [("open", ("router",))]
    batch_commands.route(
        drifted, next((drifted.folders.received / "open").glob("*.parquet")), FRACTION, batch_id="open"
    )
    moved = decision_in_force(drifted.warehouse, "open")
    assert moved["router_version"] == after["router_version"]
    assert moved["expected_success"] < decided["expected_success"] - 0.05

    change = drifted.warehouse.fetch("reroutings_of", {"batch_id": "open"})[-1]
    assert change["reasons"] == ["router"]
    assert change["moved"] + change["kept"] == 60
    assert change["moved"] == sum(move["count"] for move in json.loads(change["moves"]))

    router_commands.rollback(drifted, None)
    assert router_in_force(drifted.warehouse)["router_version"] == before["router_version"]
    assert aliases(drifted)["champion"] == before["mlflow_model_version"]
    assert aliases(drifted)["previous"] == after["mlflow_model_version"]
    release_again(drifted)
    assert router_in_force(drifted.warehouse)["router_version"] == before["router_version"]
    batch_commands.route(
        drifted, next((drifted.folders.received / "open").glob("*.parquet")), FRACTION, batch_id="open"
    )
    assert decision_in_force(drifted.warehouse, "open")["routed_sha256"] == decided["routed_sha256"]

    capsys.readouterr()
    assert audit_commands.audit(drifted, "open", None)
    audited = capsys.readouterr().out
    assert audited.count("routed again") == 2
    spent = drifted.warehouse.fetch("spend_by_model")
    assert sum(row["instructions"] for row in spent) == 360
    assert sum(row["judged"] for row in spent) == 300
    report(drifted, datetime.now(UTC).date())
    told = capsys.readouterr().out
    assert f"| {after['router_version']} | takes over |" in told
    assert f"| {before['router_version']} | put in force | rollback |" in told
    assert "| recalibrate |" in told


def test_promises_that_fail_on_instructions_of_a_new_kind_ask_for_training(trained: Home, tmp_path: Path) -> None:
    batch_commands.route(trained, new_batch(tmp_path, "foreign", 150, 0, twin="llm_uncertainty_bench"), FRACTION)
    report_outcomes(trained, "foreign", tmp_path, fall=0.25)
    with instance_of(trained) as instance:
        run_job(instance, "watch_router")
    figures = {row["figure"]: row for row in trained.store.read("calibration_drift").to_pylist()}
    assert figures["embedding_auc"]["value"] > 0.9
    advice = trained.warehouse.fetch("latest_advice")[0]
    assert advice["advice"] == "retrain"
    assert "instructions of a new kind" in advice["why"] or "order" in advice["why"]


def test_a_drift_that_a_recalibration_mends_fails_the_check_as_a_warning(drifted: Home) -> None:
    with instance_of(drifted) as instance:
        history = instance.event_log_storage.get_asset_check_execution_history
        (checked,) = history(dg.AssetCheckKey(dg.AssetKey("calibration_drift"), "promises_hold"), limit=5)
    assert checked.event is not None
    found = checked.event.dagster_event.asset_check_evaluation_data
    assert found.metadata["advice"].value == "recalibrate"
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_instructions_of_the_known_kind_cannot_be_told_apart(drifted: Home) -> None:
    rows = drifted.store.read("calibration_drift").to_pylist()
    assert not [row for row in rows if row["figure"] == "bucket_psi" and row["drifted"]]
    figures = {row["figure"]: row for row in rows}
    assert not figures["embedding_auc"]["drifted"]
    assert 0.4 < figures["embedding_auc"]["value"] < 0.6


@pytest.mark.slow
def test_copies_of_a_text_are_no_drift(trained: Home, tmp_path: Path) -> None:
    """120 texts five times each, every copy of a text with the outcome that its text drew."""
    once, text = simulate("r1_math", size=120, seed=24), np.repeat(np.arange(120), 5)
    ids = np.array([f"copy-{i}" for i in range(len(text))], dtype=object)
    path = tmp_path / "copies.parquet"
    write_batch(BatchInstructions(ids, once.instruction[text], None if once.task is None else once.task[text]), path)
    batch_commands.route(trained, path, FRACTION)
    report_outcomes(trained, "copies", tmp_path, fall=0.0, luck=np.random.default_rng(1).random(120)[text])
    report = watch(
        trained.warehouse,
        trained.store,
        trained.shelf,
        router_in_force(trained.warehouse)["router_version"],
        DriftSettings(),
        batches=30,
    )
    assert report.judged == 120
    assert [metric.name for metric in report.drifted] == []


def test_a_batch_with_outcomes_is_frozen(drifted: Home) -> None:
    with pytest.raises(InvalidInput, match="dispatched"):
        batch_commands.route(
            drifted, next((drifted.folders.received / "sent").glob("*.parquet")), FRACTION, batch_id="sent"
        )


@pytest.mark.slow
def test_a_worse_challenger_stays_out_and_is_named(trained: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels that were spoilt, but for the test rows, teach a worse router."""
    champion = router_in_force(trained.warehouse)
    labels = simulate("r1_math", size=400, seed=0)
    spoilt = trained.store.read("splits")["split"].to_numpy(zero_copy_only=False) != "test"
    noisy = np.where(spoilt[:, None], 1 - labels.success, labels.success)
    path = trained.root / "labels.parquet"
    pq.write_table(replace(labels, success=noisy, simulated=False).to_arrow(), path)
    ops = {
        "labelled_instructions": {"labels": str(path)},
        "success_classifier": {"method": "frozen"},
        "router": {"ece_limit": 1.0, "ece_tolerance": 1.0},
    }
    with instance_of(trained) as instance:
        run_job(instance, "retrain_router", ops=ops)
    listing.routers(trained)
    listed = capsys.readouterr().out
    assert router_in_force(trained.warehouse) == champion
    compared = trained.warehouse.fetch("latest_comparison")[0]
    assert not compared["takes_over"]
    assert f"{compared['challenger']} is not in force: the challenger lowers" in listed
    assert aliases(trained)["challenger"] != champion["mlflow_model_version"]

    rollback(trained.releases, trained.shelf, compared["challenger"])
    assert router_in_force(trained.warehouse)["router_version"] == compared["challenger"]


def test_rolling_back_to_nothing_is_refused(trained: Home) -> None:
    with pytest.raises(InvalidInput, match="no router other than"):
        rollback(trained.releases, trained.shelf)
    with pytest.raises(InvalidInput, match="no router 'nope'"):
        rollback(trained.releases, trained.shelf, "nope")
    with pytest.raises(InvalidInput, match="in force already"):
        rollback(trained.releases, trained.shelf, router_in_force(trained.warehouse)["router_version"])


def test_too_few_outcomes_recalibrate_nothing(routed: Home) -> None:
    with instance_of(routed) as instance, pytest.raises(RuntimeError, match=r"0 outcomes .* too few to recalibrate"):
        run_job(instance, "recalibrate_router")
