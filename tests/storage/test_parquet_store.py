"""Tables in the store are complete, each run keeps its own, and the newest is current."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.foundation.errors import InvalidInput
from routing_assets.storage.draft import write_table
from routing_assets.storage.parquet_store import Store

WRITE_FOR_EVER = """
import sys, pyarrow as pa
from pathlib import Path
from routing_assets.storage.parquet_store import Store
store = Store(Path(sys.argv[1]))
i = 0
while True:
    store.write(pa.table({"run": [i] * 200_000, "noise": list(range(200_000))}), "asset", "batch", f"run-{i}")
    print(i, flush=True)
    i += 1
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_the_newest_table_is_current_and_older_ones_stay(store: Store) -> None:
    for i in range(3):
        store.write(pa.table({"x": [i]}), "asset", "batch", f"run-{i}")
    assert store.read("asset", "batch")["x"].to_pylist() == [2]
    assert store.read("asset", "batch", "run-0")["x"].to_pylist() == [0]


def test_a_run_reads_the_current_table_where_it_wrote_none_itself(store: Store) -> None:
    store.write(pa.table({"x": [1]}), "asset", None, "earlier")
    assert store.read("asset", None, "this-run")["x"].to_pylist() == [1]


def test_a_version_is_read_from_its_own_run_only(store: Store) -> None:
    store.write(pa.table({"x": [1]}), "asset", "batch", "earlier")
    store.write(pa.table({"x": [2]}), "asset", "batch", "later")
    assert store.read_version("asset", "batch", "earlier")["x"].to_pylist() == [1]
    with pytest.raises(InvalidInput, match="run another made no asset"):
        store.read_version("asset", "batch", "another")


def test_a_resumed_run_keeps_a_version_of_its_own(store: Store) -> None:
    table = pa.table({"x": [1]})
    store.write(table, "asset", "batch", "killed")
    made = store.parts("asset", "batch", "killed")
    assert store.version("asset", "batch", "killed", made) == store.path("asset", "batch", "killed")
    assert pq.read_table(store.version("asset", "batch", "again", made), partitioning=None).equals(table)
    draft = store.draft("parts", "batch", "killed", table.schema)
    made = write_table(draft, [table, table], part_rows=1)
    again = str(store.version("parts", "batch", "again", made).relative_to(store.root))
    assert store.at(again).read().equals(pa.concat_tables([table, table]))
    assert store.version_sha256(again) == store.version_sha256("parts/batch/killed")


def test_the_error_names_a_table_that_was_never_made(store: Store) -> None:
    with pytest.raises(InvalidInput, match="there is no cost_model yet"):
        store.read("cost_model")
    with pytest.raises(InvalidInput, match="routed_batch of batch 'weekly'"):
        store.read("routed_batch", "weekly")


def test_a_failed_write_leaves_the_previous_table(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(pa.table({"x": [1]}), "asset", "batch", "good")

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", disk_full)
    with pytest.raises(OSError, match="No space left"):
        store.write(pa.table({"x": [2]}), "asset", "batch", "bad")
    assert store.read("asset", "batch")["x"].to_pylist() == [1]
    assert sorted(path.name for path in (store.root / "asset" / "batch").iterdir()) == [
        "current.parquet",
        "good.parquet",
    ]


@pytest.mark.parametrize("moment_s", [0.0, 0.013, 0.031, 0.052])
def test_a_killed_writer_leaves_no_half_written_table(store: Store, moment_s: float) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(store.root)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(3):
        writer.stdout.readline()
    time.sleep(moment_s)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    table = store.read("asset", "batch")
    assert table.num_rows == 200_000
    assert len(set(table["run"].to_pylist())) == 1
    for path in (store.root / "asset" / "batch").glob("[!.]*.parquet"):
        assert pq.read_metadata(path).num_rows == 200_000
