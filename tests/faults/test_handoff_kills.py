"""A hand-off over an earlier one, killed at each of its steps: the folder shows one decision, never two."""

from __future__ import annotations

import errno
import json
import os
from functools import partial
from pathlib import Path

import forked
import pyarrow as pa
import pytest
from crash_points import CrashPoints

from routing_assets.batches import outbox
from routing_assets.batches.handoff import export_batch, read_manifest
from routing_assets.batches.outbox import MANIFEST

INSTRUCTIONS = pa.table({"instruction_id": ["1", "2", "3"], "instruction": ["one", "two", "three"]})
DECISIONS = {"first": ["large", "medium", "small"], "second": ["small", "small", "other"]}


def hand_over(root: Path, run: str) -> None:
    """The decision of a run, into the outbox. No file of one decision fits the other."""
    routed = pa.table(
        {
            "instruction_id": INSTRUCTIONS["instruction_id"],
            "model": pa.array(DECISIONS[run]).dictionary_encode(),
            "expected_success": pa.array([0.5] * 3, pa.float32()),
            "cost": [0.25] * 3,
        }
    )
    export_batch(
        routed,
        INSTRUCTIONS,
        root / "outbox" / "weekly",
        staged=root / "staged" / "weekly",
        batch_id="weekly",
        run_id=run,
        received=root / "weekly.parquet",
    )


def shown(folder: Path) -> set[str]:
    """Whose requests a runner finds that reads whatever request files there are."""
    found = {
        (request["custom_id"], request["body"]["model"])
        for file in folder.glob("requests-*.jsonl")
        for request in map(json.loads, file.read_text().splitlines())
    }
    pairs = {run: set(zip(("1", "2", "3"), models, strict=True)) for run, models in DECISIONS.items()}
    return {run for run, own in pairs.items() if found & own}


def unsupported(*_: object) -> None:
    raise OSError(errno.EINVAL, "Invalid argument")


@pytest.mark.slow
@pytest.mark.parametrize("file_system", ["exchanges folders", "does not"])
def test_a_hand_off_killed_at_every_step_shows_one_decision(tmp_path: Path, file_system: str) -> None:
    def work(root: Path, points: CrashPoints) -> list[str]:
        if file_system == "does not":
            outbox.exchange = unsupported
        os.unlink = points.around(os.unlink, "unlink")
        points.install_on_files()
        hand_over(root, "second")
        return points.names

    steps = 0
    while True:
        root = tmp_path / str(steps)
        hand_over(root, "first")
        (root / "outbox" / "weekly" / "answers.jsonl").write_text("paid for")
        log = tmp_path / "log"
        killed = forked.killed_after(partial(work, root, CrashPoints(steps)), 60.0, log)
        folder = root / "outbox" / "weekly"
        assert len(shown(folder)) <= 1
        if file_system == "exchanges folders" or not killed:
            assert (folder / MANIFEST).exists(), steps
        if (folder / MANIFEST).exists():
            assert shown(folder) == {read_manifest(folder).dagster_run_id}
            listed = {file.name for file in read_manifest(folder).of("small")}
            assert listed <= {file.name for file in folder.iterdir()}
        hand_over(root, "second")
        assert shown(folder) == {"second"}
        assert read_manifest(folder).dagster_run_id == "second"
        assert (folder / "answers.jsonl").read_text() == "paid for"
        assert not (root / "staged" / "weekly").exists()
        if not killed:
            break
        steps += 1
    assert steps > 10
