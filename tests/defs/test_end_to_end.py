"""The system as it runs unattended: daemon and webserver, files in, a killed run, outcomes with a planted drift."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from routing_assets.audit.replay import broken_entries
from routing_assets.batches.handoff import read_manifest
from routing_assets.batches.outbox import MANIFEST
from routing_assets.cli.run_job import instance_of
from routing_assets.datasets import BatchInstructions, write_batch
from routing_assets.datasets.simulated import simulate
from routing_assets.home import Home

PATIENCE_S = 240.0
BATCHES = {"monday": 80, "tuesday": 90, "wednesday": 100}
DRIFT = dg.AssetCheckKey(dg.AssetKey("calibration_drift"), "promises_hold")


@pytest.fixture
def address(trained: Home, tmp_path: Path, heeds_the_keyboard: None) -> Iterator[str]:
    """``routing-assets ui`` on a free port, in a session of its own; its log beside the home."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = "from routing_assets.cli.main import main; main()"
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with (tmp_path / "ui.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", command, "ui", "--port", str(port)],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGINT)  # as Ctrl-C does
            with suppress(subprocess.TimeoutExpired):  # runs under way are waited for
                server.wait(60)
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def until(what: str, happened: Callable[[], object], log: Path) -> None:
    """Wait for something. Raises AssertionError with the end of the server's log when it does not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not come:\n{log.read_text()[-4000:]}"
        time.sleep(0.5)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def process_of_a_run(instance: dg.DagsterInstance) -> int | None:
    """The process that executes a batch's run just now."""
    for run in instance.get_runs(dg.RunsFilter(job_name="route_batch", statuses=[dg.DagsterRunStatus.STARTED])):
        for log in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            data = log.dagster_event.engine_event_data if log.dagster_event else None
            if data and "pid" in data.metadata:
                return int(str(data.metadata["pid"].value))
    return None


def promises_broken(home: Home, batch_id: str, random: np.random.Generator) -> None:
    """Outcomes that come true half as often as promised."""
    table = home.store.read("routed_batch", batch_id)
    success = random.random(table.num_rows) < 0.5 * table["expected_success"].to_numpy()
    columns = (table["instruction_id"].to_pylist(), table["model"].to_pylist(), success)
    lines = [json.dumps({"instruction_id": i, "model": m, "success": int(s)}) for i, m, s in zip(*columns, strict=True)]
    folder = home.folders.outcomes / batch_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "outcomes.jsonl").write_text("\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_files_are_routed_a_killed_run_is_made_again_and_a_drift_is_acted_on(
    address: str, trained: Home, tmp_path: Path
) -> None:
    log = tmp_path / "ui.log"
    until("the webserver", lambda: answers(address), log)
    for number, (name, size) in enumerate(BATCHES.items()):
        labels = simulate("r1_math", size=size, seed=100 + number)
        batch = BatchInstructions(labels.instruction_id, labels.instruction, labels.task)
        write_batch(batch, trained.folders.inbox / f"{name}.parquet")
    with instance_of(trained) as instance:
        until("a run", lambda: process_of_a_run(instance), log)
        killed = process_of_a_run(instance)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        manifests = [trained.folders.outbox / name / MANIFEST for name in BATCHES]
        until("the routed batches", lambda: all(path.exists() for path in manifests), log)
        for name, size in BATCHES.items():
            assert read_manifest(trained.folders.outbox / name).rows == size
        statuses = [run.status for run in instance.get_runs(dg.RunsFilter(job_name="route_batch"))]
        assert statuses.count(dg.DagsterRunStatus.FAILURE) == 1
        assert broken_entries(trained.warehouse, trained.store, trained.folders) == []

        random = np.random.default_rng(0)
        for name in BATCHES:
            promises_broken(trained, name, random)
        history = instance.event_log_storage.get_asset_check_execution_history
        until(
            "a failed check of drift",
            lambda: any(record.status.value == "FAILED" for record in history(DRIFT, limit=5)),
            log,
        )
        acted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
        repairs = ("recalibrate_router", "retrain_router")
        until("a repair", lambda: any(run.job_name in repairs for run in instance.get_runs(acted)), log)
