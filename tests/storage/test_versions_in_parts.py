"""The store holds tables in parts beside tables of one file; the current version changes in one step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from routing_assets.engine import LocalEngine
from routing_assets.foundation.errors import InvalidInput
from routing_assets.storage.draft import make_parts, write_table
from routing_assets.storage.parquet_store import Store

SCHEMA = pa.schema([("instruction_id", pa.string()), ("run", pa.int64())], metadata={"about": "x"})
WRITE_FOR_EVER = """
import sys, pyarrow as pa
from pathlib import Path
from routing_assets.storage.draft import write_table
from routing_assets.storage.parquet_store import Store
store = Store(Path(sys.argv[1]))
i = 0
while True:
    table = pa.table({"run": [i] * 50_000, "row": range(50_000)})
    write_table(store.draft("asset", "batch", f"run-{i}", table.schema), [table], part_rows=10_000)
    store.make_current("asset", "batch", f"run-{i}")
    print(i, flush=True)
    i += 1
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def rows(run: int, count: int = 25) -> pa.Table:
    return pa.table([[f"i{n}" for n in range(count)], [run] * count], schema=SCHEMA)


def write(store: Store, run: int, partition: str | None = "batch") -> None:
    write_table(store.draft("asset", partition, f"run-{run}", SCHEMA), [rows(run)], part_rows=10)


def one_part(number: int) -> pa.Table:
    return rows(number, 10)


def killed_at_the_second(number: int) -> pa.Table:
    if number == 1:
        raise KeyboardInterrupt
    return rows(number, 10)


def current_run(store: Store) -> int:
    return store.read("asset", "batch")["run"][0].as_py()


def test_a_version_in_parts_is_read_like_any_other(store: Store) -> None:
    write(store, 1)
    store.make_current("asset", "batch", "run-1")
    write(store, 2)
    assert store.read("asset", "batch").equals(rows(1), check_metadata=True)
    assert store.read("asset", "batch", "run-2").equals(rows(2), check_metadata=True)
    assert store.read_version("asset", "batch", "run-2").equals(rows(2))
    assert store.read("asset", "batch", columns=["run", "unknown"]).column_names == ["run"]
    assert [part.rows for part in store.parts("asset", "batch").parts] == [10, 10, 5]
    assert store.exists("asset", "batch")
    assert store.exists("asset", "batch", "run-2")
    assert not store.exists("asset", "other")


def test_a_version_without_its_manifest_does_not_exist(store: Store) -> None:
    store.draft("asset", "batch", "run-1", SCHEMA).write_part(0, rows(1))
    assert not store.exists("asset", "batch", "run-1")
    with pytest.raises(InvalidInput, match="run run-1 made no asset"):
        store.read_version("asset", "batch", "run-1")
    with pytest.raises(InvalidInput, match="there is no asset of batch 'batch' yet"):
        store.parts("asset", "batch", "run-1")


def test_a_file_and_a_table_in_parts_replace_each_other_as_current(store: Store) -> None:
    store.write(rows(0), "asset", "batch", "run-0")
    assert store.parts("asset", "batch").read().equals(rows(0))
    write(store, 1)
    assert current_run(store) == 0
    store.make_current("asset", "batch", "run-1")
    assert current_run(store) == 1
    store.write(rows(2), "asset", "batch", "run-2")
    assert current_run(store) == 2
    store.make_current("asset", "batch", "run-1")
    assert current_run(store) == 1


def test_a_run_reuses_the_unfinished_parts_of_the_run_that_it_resumes(store: Store) -> None:
    def draft(run: str, *resumed: str, work: str = "inputs"):
        return store.draft("asset", "batch", run, SCHEMA, work=work, resumed=resumed)

    with pytest.raises(KeyboardInterrupt):
        make_parts(LocalEngine(), killed_at_the_second, range(3), draft("killed"))
    assert list(draft("again", "unknown", "killed").done()) == [0]
    table = make_parts(LocalEngine(), one_part, range(3), draft("again", "killed"))
    assert table.read(["run"])["run"].to_pylist() == [0] * 10 + [1] * 10 + [2] * 10
    assert not (store.root / "asset" / "batch" / "killed").exists()
    assert draft("third", "again").done() == {}
    assert store.exists("asset", "batch", "again")


def test_readers_see_one_complete_version_while_others_become_current(store: Store) -> None:
    write(store, 0)
    store.make_current("asset", "batch", "run-0")
    done = threading.Event()
    seen: list[int] = []
    failed: list[Exception] = []

    def read() -> None:
        while not done.is_set():
            try:
                (run,) = set(store.read("asset", "batch")["run"].to_pylist())
                seen.append(run)
            except Exception as error:
                failed.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for run in range(1, 31):
        if run % 3 == 0:
            store.write(rows(run), "asset", "batch", f"run-{run}")
        else:
            write(store, run)
            store.make_current("asset", "batch", f"run-{run}")
    done.set()
    for reader in readers:
        reader.join()
    assert failed == []
    assert len(set(seen)) > 1
    assert current_run(store) == 30


def test_a_killed_writer_leaves_the_previous_version(store: Store) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(store.root)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(3):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    table = store.parts("asset", "batch")
    table.verify()
    assert table.rows == 50_000
    assert len(set(table.read(["run"])["run"].to_pylist())) == 1


def test_rows_are_deleted_from_every_version_in_parts(store: Store) -> None:
    store.write(rows(0), "asset", None, "run-0")
    for run in (1, 2):
        write(store, run, None)
    store.make_current("asset", None, "run-2")
    removed = store.keep_rows("asset", lambda ids: np.array([name != "i12" for name in ids]))
    assert removed == 1
    for run in ("run-0", "run-1", "run-2"):
        left = store.read("asset", None, run)["instruction_id"].to_pylist()
        assert "i12" not in left
        assert len(left) == 24
    assert store.keep_rows("asset", lambda ids: np.ones(len(ids), dtype=bool)) == 0


def test_the_unfinished_parts_of_a_killed_run_are_removed_when_they_are_old(store: Store) -> None:
    write(store, 1, partition=None)
    store.draft("asset", None, "killed", SCHEMA).write_part(0, rows(0))
    now = time.time()
    assert store.remove_unfinished(before=now - 3600) == 0
    assert store.remove_unfinished(before=now + 3600) == 1
    assert sorted(path.name for path in (store.root / "asset").iterdir()) == ["run-1"]
    store.parts("asset", None, "run-1").verify()
