"""Twenty batches at once, two runs at a time, while somebody looks into the warehouse now and then."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import duckdb
import forked
import pytest
from installation import Installation, faults_of_state

BATCHES = 20


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_twenty_batches_at_once_beside_a_reader(
    installation: Installation, batch_files: list[Path], report: list[tuple[str, str]]
) -> None:
    reader = forked.start(lambda: look_now_and_then(installation.home.warehouse.path), installation.log)
    waiting, working, failed = list(batch_files[:BATCHES]), set[int](), 0
    started = time.monotonic()
    while waiting or working:
        while waiting and len(working) < 2:
            file = waiting.pop()
            working.add(forked.start(lambda file=file: installation.route(file), installation.log))
        pid, status = os.waitpid(-1, 0)
        working.discard(pid)
        failed += status != 0
    seconds = time.monotonic() - started
    os.kill(reader, signal.SIGKILL)
    os.waitpid(reader, 0)
    faults = installation.ask(faults_of_state)
    assert failed == 0, installation.log.read_text()[-4000:]
    assert faults == []
    assert installation.ask(lambda home: len(list(home.folders.outbox.glob("*/manifest.json")))) == BATCHES
    load = f"{BATCHES} batches at once, two runs at a time, beside a reader"
    report.append((load, f"all routed in {seconds:.0f} s, no lock failure"))


def look_now_and_then(warehouse: Path) -> None:
    """Hold the warehouse open read-only for half a second, ever again, as a notebook does."""
    while True:
        try:
            with duckdb.connect(str(warehouse), read_only=True) as connection:
                connection.sql("select count(*) from decisions").fetchall()
                time.sleep(0.5)
        except duckdb.Error:
            pass
        time.sleep(0.7)
