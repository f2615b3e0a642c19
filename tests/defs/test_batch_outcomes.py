"""Outcomes come back in parts, are set against the promise, and a planted drift is found."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from routing_assets import commands
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.sensors import outcomes_sensor
from routing_assets.errors import InvalidInput
from routing_assets.intake import outcome_files, receive_outcomes
from routing_assets.runs import instance_of, run_job
from routing_assets.settings import Home
from routing_assets.store import Store


def write_outcomes(home: Home, path: Path, success: np.ndarray | None = None, rows: slice = slice(None)) -> Path:
    """Outcomes of the routed batch, drawn as promised unless ``success`` is given."""
    table = Store(home.store).read("routed_batch", "weekly")
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


def test_parts_that_come_late_and_twice_add_up(routed: Home, tmp_path: Path) -> None:
    for name, rows in (("a", slice(0, 30)), ("b", slice(20, 60)), ("c", slice(0, 30))):
        commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / f"{name}.jsonl", rows=rows))
    assert len(outcome_files(routed, "weekly")) == 2
    table = Store(routed.store).read("batch_outcomes", "weekly")
    assert table.num_rows == 60
    assert table["success"].null_count == 0


def test_promises_that_are_kept_are_no_drift_and_broken_ones_are(routed: Home, tmp_path: Path) -> None:
    commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / "kept.jsonl"))
    assert drift(routed).passed
    failed = np.zeros(60, dtype=bool)
    commands.outcomes(routed, "weekly", write_outcomes(routed, tmp_path / "broken.jsonl", failed))
    found = drift(routed)
    assert not found.passed
    assert found.metadata["advice"].value in ("recalibrate", "retrain")


def test_the_sensor_takes_in_whole_files_and_rejects_bad_ones(routed: Home) -> None:
    folder = routed.outcomes / "weekly"
    folder.mkdir(parents=True)
    write_outcomes(routed, folder / "part.jsonl")
    (folder / "bad.csv").write_text("instruction_id,model,success\n1,R1,2\n")
    with instance_of(routed) as instance:
        cursor, requests = None, []
        for _ in range(2):
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"home": RoutingHome()})
            result = outcomes_sensor(context)
            assert isinstance(result, dg.SensorResult)
            cursor, requests = result.cursor, list(result.run_requests or [])
    assert [request.partition_key for request in requests] == ["weekly"]
    assert len(outcome_files(routed, "weekly")) == 1
    assert "bad.csv" in next(routed.rejected.glob("*.reason.txt")).read_text()


def test_outcomes_of_a_batch_that_was_never_routed_are_refused(routed: Home, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not routed"):
        receive_outcomes(routed, write_outcomes(routed, tmp_path / "o.jsonl"), "unknown")


def test_drift_without_outcomes_says_what_is_missing(routed: Home) -> None:
    with instance_of(routed) as instance, pytest.raises(RuntimeError, match="has outcomes yet"):
        run_job(instance, "watch_router")
