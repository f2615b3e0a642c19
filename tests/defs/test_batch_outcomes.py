"""Outcomes come back in parts, are set against the promise, and a planted drift is found."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock, Timeout
from provider_lines import chat, write

from routing_assets.batches.known import end_of_batch, outcome_files
from routing_assets.batches.outcomes import receive_outcomes
from routing_assets.cli import batches as batch_commands
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.main import main
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.outcomes.sensors import outcomes_sensor
from routing_assets.defs.upkeep.failures import ENVIRONMENT, FAILED_FOR
from routing_assets.defs.upkeep.setbacks import Setback
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home


def write_outcomes(home: Home, path: Path, success: np.ndarray | None = None, rows: slice = slice(None)) -> Path:
    """Outcomes of the routed batch, drawn as promised unless ``success`` is given."""
    table = home.store.read("routed_batch", "weekly")
    promised = table["expected_success"].to_numpy()
    drawn = np.random.default_rng(1).random(len(promised)) < promised if success is None else success
    lines = [
        json.dumps({"instruction_id": i, "model": m, "success": int(s), "cost": c})
        for i, m, s, c in zip(
            table["instruction_id"].to_pylist(),
            table["model"].to_pylist(),
            drawn,
            table["cost"].to_pylist(),
            strict=True,
        )
    ]
    path.write_text("\n".join(lines[rows]) + "\n")
    return path


def drift(home: Home) -> dg.AssetCheckEvaluation:
    with instance_of(home) as instance:
        return run_job(instance, "watch_router").get_asset_check_evaluations()[0]


def test_figures_of_all_models_are_plotted_over_time(routed: Home, tmp_path: Path) -> None:
    """As numbers in the metadata of each materialisation; one that cannot be told is left out."""

    def figures() -> dict[str, float]:
        with instance_of(routed) as instance:
            result = run_job(instance, "watch_router")
        metadata = result.asset_materializations_for_node("calibration_drift")[0].metadata
        return {n.removesuffix("_all"): value.value for n, value in metadata.items() if n.endswith("_all")}

    batch_commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / "kept.jsonl"))
    of_all = {"success_gap", "ece", "brier", "log_loss", "ranking", "embedding_auc"}
    assert set(figures()) == of_all
    failed = np.zeros(60, dtype=bool)
    batch_commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / "broken.jsonl", failed))
    broken = figures()
    assert set(broken) == of_all - {"ranking"}
    promised = routed.store.read("routed_batch", "weekly")["expected_success"].to_numpy()
    assert broken["success_gap"] == pytest.approx(promised.mean(), rel=1e-4)


def test_parts_that_come_late_and_twice_add_up(routed: Home, tmp_path: Path) -> None:
    for name, rows in (("a", slice(0, 30)), ("b", slice(20, 60)), ("c", slice(0, 30))):
        batch_commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / f"{name}.jsonl", rows=rows))
    assert len(outcome_files(routed.folders, "weekly")) == 2
    table = routed.store.read("batch_outcomes", "weekly")
    assert table.num_rows == 60
    assert table["success"].null_count == 0


def test_a_contradiction_within_a_file_is_reported_and_bills_are_counted_beside_their_sum(
    routed: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = write_outcomes(routed, file := tmp_path / "part.jsonl", rows=slice(0, 3)).read_text().splitlines()
    flipped = {**(last := json.loads(lines[-1])), "success": 1 - last["success"]}
    file.write_text("\n".join([*lines, json.dumps(flipped)]))
    batch_commands.outcomes(routed, "weekly", file)
    assert "1 pairs of instruction and model have different outcomes; the last counts" in capsys.readouterr().out
    (month,) = routed.warehouse.fetch("spend_by_policy")
    assert (month["instructions"], month["billed"]) == (60, 3)
    assert month["usd_of_billed"] < month["estimated_usd_of_all"]


def test_promises_that_are_kept_are_no_drift_and_broken_ones_are(routed: Home, tmp_path: Path) -> None:
    batch_commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / "kept.jsonl"))
    assert drift(routed).passed
    failed = np.zeros(60, dtype=bool)
    batch_commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / "broken.jsonl", failed))
    found = drift(routed)
    assert not found.passed
    assert found.metadata["advice"].value in ("recalibrate", "retrain")


def look(instance: dg.DagsterInstance, cursor: str | None) -> tuple[str | None, list[dg.RunRequest]]:
    """One tick of the sensor: its cursor, and the runs it asks for."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"home": RoutingHome()})
    result = outcomes_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result.cursor, list(result.run_requests or [])


def test_a_tick_that_died_after_it_took_outcomes_in_is_made_up_for(routed: Home) -> None:
    (routed.folders.outcomes / "weekly").mkdir(parents=True)
    write_outcomes(routed, routed.folders.outcomes / "weekly" / "part.jsonl")
    with instance_of(routed) as instance:
        cursor, nothing_yet = look(instance, None)
        _, lost = look(instance, cursor)
        after, requests = look(instance, cursor)
        _, at_rest = look(instance, after)
    assert not nothing_yet
    assert [r.run_key for r in requests] == [r.run_key for r in lost] != []
    assert not at_rest


def test_outcomes_whose_run_the_environment_stopped_are_recorded_after_a_pause(
    routed: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("routing_assets.storage.parquet_store.pq.write_table", full)
        with pytest.raises(RunFailed, match="No space left on device"):
            batch_commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / "part.jsonl"))
    with instance_of(routed) as instance:
        failed = instance.get_runs(limit=1)[0].run_id
        instance.add_run_tags(failed, {FAILED_FOR: ENVIRONMENT})
        assert look(instance, None)[1] == []
        monkeypatch.setattr(Setback, "may_be_tried_again", lambda *_: True)
        _, requests = look(instance, None)
        assert [(r.partition_key, r.run_key) for r in requests] == [("weekly", f"weekly!{failed}")]
        again = dg.DagsterRun("record_outcomes", run_id=str(uuid4()), tags={"dagster/partition": "weekly"})
        instance.add_run(again)
        assert look(instance, None)[1] == []
        instance.delete_run(again.run_id)
        shutil.rmtree(routed.folders.received / "weekly")
        assert look(instance, None)[1] == []


def test_a_batch_is_not_decided_again_while_its_outcomes_are_recorded(
    routed: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free: list[bool] = []

    def entered(*_: object, **__: object) -> None:
        with ThreadPoolExecutor(1) as other:
            free.append(other.submit(taken_at_once).result())

    def taken_at_once() -> bool:
        try:
            with FileLock(routed.locks / "batches" / "weekly.lock", timeout=0):
                return True
        except Timeout:
            return False

    monkeypatch.setattr("routing_assets.batches.outcomes.record_outcomes", entered)
    batch_commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / "part.jsonl"))
    assert free == [False]


def test_the_sensor_takes_in_whole_files_and_rejects_bad_ones(routed: Home) -> None:
    folder = routed.folders.outcomes / "weekly"
    folder.mkdir(parents=True)
    write_outcomes(routed, folder / "part.jsonl")
    (folder / "bad.csv").write_text("instruction_id,model,success\n1,R1,2\n")
    (folder / "stray.csv").write_text("instruction_id,model,success\nelsewhere,R1,1\n")
    with instance_of(routed) as instance:
        cursor, _ = look(instance, None)
        _, requests = look(instance, cursor)
    assert [request.partition_key for request in requests] == ["weekly"]
    assert len(outcome_files(routed.folders, "weekly")) == 1
    reasons = "".join(sorted(path.read_text() for path in routed.folders.rejected.glob("*.reason.txt")))
    assert "bad.csv" in reasons
    assert "'elsewhere' by 'R1'" in reasons


def test_outcomes_of_a_batch_that_was_never_routed_are_refused(routed: Home, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not routed"):
        receive_outcomes(
            routed.warehouse, routed.store, routed.folders, write_outcomes(routed, tmp_path / "o.jsonl"), "unknown"
        )


def test_outcomes_of_nothing_in_the_batch_are_refused_and_freeze_nothing(
    routed: Home, tmp_path: Path, batch_file: Path
) -> None:
    stray, blank = tmp_path / "stray.csv", tmp_path / "blank.csv"
    stray.write_text("instruction_id,model,success\nelsewhere,R1,1\n")
    table = routed.store.read("routed_batch", "weekly").slice(0, 1).to_pylist()[0]
    blank.write_text(f"instruction_id,model,success,note\n{table['instruction_id']},{table['model']},,x\n")
    for file, message in ((stray, "'elsewhere' by 'R1'"), (blank, "has a success or a cost")):
        with pytest.raises(InvalidInput, match=f"{file.name}.*{message}"):
            batch_commands.outcomes(routed, "weekly", file)
    assert outcome_files(routed.folders, "weekly") == []
    batch_commands.route(routed, batch_file, {"budget_fraction": 0.5})  # which a frozen batch refuses


def test_unused_parts_of_an_outcome_file_are_printed(
    routed: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_outcomes(routed, tmp_path / "part.jsonl", rows=slice(0, 3))
    for line in ('"instruction_id": "elsewhere", "success": 1', '"instruction_id": "nowhere", "succes": 1'):
        file.write_text(f'{file.read_text()}{{"model": "R1", {line}}}\n')
    batch_commands.outcomes(routed, "weekly", file)
    said = capsys.readouterr().out
    assert "2 outcomes are not used" in said
    assert "'elsewhere' by 'R1', 'nowhere' by 'R1'" in said
    assert "columns that are not used: succes" in said


def test_outcomes_that_a_new_decision_left_behind_freeze_nothing(routed: Home, tmp_path: Path) -> None:
    file = write_outcomes(routed, tmp_path / "part.jsonl", rows=slice(0, 3))
    receive_outcomes(routed.warehouse, routed.store, routed.folders, file, "weekly")
    (kept,) = outcome_files(routed.folders, "weekly")
    kept.write_text('{"instruction_id": "as if", "model": "routed again", "success": 1}\n')
    with instance_of(routed) as instance, pytest.raises(RunFailed, match="'as if' by 'routed again'"):
        run_job(instance, "record_outcomes", batch_id="weekly")
    assert end_of_batch(routed.warehouse, "weekly") is None


def test_drift_without_outcomes_says_what_is_missing(routed: Home) -> None:
    with instance_of(routed) as instance, pytest.raises(RuntimeError, match="has outcomes yet"):
        run_job(instance, "watch_router")


def test_outcomes_come_under_the_names_and_in_the_encoding_of_their_own_table(routed: Home, tmp_path: Path) -> None:
    decided = routed.store.read("routed_batch", "weekly").to_pylist()
    rows = [f"{row['instruction_id']};{row['model']};0,5;geprüft" for row in decided]
    path = tmp_path / "outcomes.csv"
    path.write_bytes("\n".join(["Nr;llm;note;Bemerkung", *rows]).encode("cp1252"))
    named = [part for pair in (("--id", "Nr"), ("--model", "llm"), ("--success", "note")) for part in pair]
    named = [f"{part}-column" if part.startswith("--") else part for part in named]

    def run(*more: str) -> Result:
        return CliRunner().invoke(main, ["outcomes", "weekly", str(path), *more])

    assert "not UTF-8" in run(*named).output
    assert (
        "there is no column 'Note'; the file has 'Nr', 'llm'" in run("--encoding", "cp1252", *named[:-1], "Note").output
    )
    assert "columns that are not used: Bemerkung" in run("--encoding", "cp1252", *named).output
    assert routed.store.read("batch_outcomes", "weekly")["success"].to_pylist() == [0.5] * len(decided)
    answers = write(tmp_path / "output.jsonl", *(chat(row["instruction_id"], model=row["model"]) for row in decided))
    assert (
        "a provider's output, which has no columns"
        in CliRunner().invoke(main, ["answers", "weekly", str(answers), "--id-column", "custom_id"]).output
    )
