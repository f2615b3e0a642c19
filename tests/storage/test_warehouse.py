"""The warehouse works beside other processes that hold the file, and after errors within a transaction."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from forked import done, result_of
from helpers import start_python

from routing_assets.foundation import attached
from routing_assets.home import Home
from routing_assets.routers.release import record_candidate
from routing_assets.storage.warehouse import Warehouse, WarehouseBusy, WarehouseUnavailable

HOLD = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1], read_only=True)
print("held", flush=True)
time.sleep({})
"""


def dispatch_row(name: str) -> pa.Table:
    return pa.table({"batch_id": [name], "dagster_run_id": ["run"]})


def write(path: Path, name: str) -> None:
    Warehouse(path).append("dispatches", dispatch_row(name))


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    warehouse.create()
    return warehouse


def count(warehouse: Warehouse) -> int:
    with warehouse.reader() as connection:
        row = connection.execute("select count(*) from dispatches").fetchone()
    assert row is not None
    return int(row[0])


def test_writers_in_several_processes_all_succeed(warehouse: Warehouse) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(write, [warehouse.path] * 24, [f"batch-{i}" for i in range(24)]))
    assert count(warehouse) == 24


WRITE = """
import sys, time
from pathlib import Path
from routing_assets.storage.warehouse import Warehouse
with Warehouse(Path(sys.argv[1])).transaction():
    print("writing", flush=True)
    time.sleep(1)
"""


@pytest.mark.parametrize("access", ["transaction", "reader"])
def test_nobody_opens_the_file_while_another_process_writes(
    warehouse: Warehouse, access: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB reads the file's header before it locks the file: a process that opens it then may undo a commit."""
    writer = start_python(WRITE, warehouse.path)
    attach, refused = attached.attach, []

    def watched(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        try:
            return attach(*arguments, **options)
        except duckdb.IOException as error:
            refused.append(error)
            raise

    monkeypatch.setattr(attached, "attach", watched)
    with getattr(warehouse, access)():
        pass
    assert refused == []
    assert writer.wait() == 0


def test_a_writer_that_does_not_end_is_reported(warehouse: Warehouse) -> None:
    writer = start_python(WRITE, warehouse.path)
    with pytest.raises(WarehouseBusy, match="Another process of routing_assets"):
        Warehouse(warehouse.path, timeout_s=0.1).append("dispatches", dispatch_row("never"))
    writer.wait()


def test_a_writer_waits_for_a_reader_in_another_process(warehouse: Warehouse) -> None:
    reader = start_python(HOLD.format(1.5), warehouse.path)
    write(warehouse.path, "late")
    reader.wait()
    assert count(warehouse) == 1


def test_a_program_that_keeps_the_file_open_is_reported(warehouse: Warehouse) -> None:
    reader = start_python(HOLD.format(30), warehouse.path)
    started = time.monotonic()
    with pytest.raises(WarehouseBusy, match=rf"PID {reader.pid}"):
        Warehouse(warehouse.path, timeout_s=0.5).append("dispatches", dispatch_row("never"))
    assert time.monotonic() - started < 10
    reader.kill()
    reader.wait()
    write(warehouse.path, "after")
    assert count(warehouse) == 1


@pytest.mark.parametrize("folder", ["data/blocks", "locksmith", "x: Conflicting lock is held"])
def test_an_unreadable_file_is_distinguished_from_a_locked_one_whatever_its_path(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "warehouse.duckdb"
    path.mkdir(parents=True)  # a folder cannot be opened as a database, by nobody
    started = time.monotonic()
    with pytest.raises(WarehouseUnavailable, match="Is a directory"):
        Warehouse(path, timeout_s=5).append("dispatches", dispatch_row("never"))
    assert time.monotonic() - started < 2


def test_a_locked_file_is_waited_for_whatever_its_path(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "blocks" / "warehouse.duckdb")
    warehouse.create()
    reader = start_python(HOLD.format(0.5), warehouse.path)
    write(warehouse.path, "late")
    reader.wait()
    assert count(warehouse) == 1


def test_an_error_rolls_the_whole_transaction_back_and_frees_the_file(warehouse: Warehouse) -> None:
    def fail_half_way() -> None:
        with warehouse.transaction() as connection:
            connection.execute("insert into dispatches (batch_id, dagster_run_id) values ('a', 'r')")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert count(warehouse) == 0
    write(warehouse.path, "b")
    assert count(warehouse) == 1


def test_a_forked_child_uses_the_warehouse_while_threads_of_its_parent_do(warehouse: Warehouse, tmp_path: Path) -> None:
    def write_some(name: str) -> None:
        for number in range(8):
            write(warehouse.path, f"{name}-{number}")

    threads = [Thread(target=write_some, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    for child in range(4):
        assert done(lambda child=child: write(warehouse.path, f"child-{child}"), tmp_path / "log")
    for thread in threads:
        thread.join()
    assert count(warehouse) == 20


def test_a_warehouse_is_read_within_a_reading_of_it_and_of_another(warehouse: Warehouse, tmp_path: Path) -> None:
    other = Warehouse(tmp_path / "o'ther" / "warehouse.duckdb")
    other.create()
    write(warehouse.path, "a")
    with warehouse.reader() as connection:
        assert (count(warehouse), count(other)) == (1, 0)
        assert connection.execute("select batch_id from dispatches").fetchall() == [("a",)]
    write(warehouse.path, "b")
    assert count(warehouse) == 2


def test_a_forked_child_queries_tables_while_a_thread_of_its_parent_does(tmp_path: Path) -> None:
    def one_row() -> int:
        with attached.in_memory() as connection:
            connection.register("rows", pa.table({"a": [1]}))
            return int(connection.sql("select sum(a) from rows").fetchall()[0][0])

    with attached.in_memory() as connection:
        connection.register("rows", pa.table({"a": [1, 1]}))
        assert result_of(one_row, tmp_path / "log") == 1
        assert connection.sql("select sum(a) from rows").fetchall() == [(2,)]
    assert one_row() == 1


def test_nobody_holds_the_file_between_two_transactions(warehouse: Warehouse) -> None:
    write(warehouse.path, "a")
    holder = start_python("import duckdb, sys; duckdb.connect(sys.argv[1]); print('held', flush=True)", warehouse.path)
    assert holder.wait() == 0
    assert [path.suffix for path in warehouse.path.parent.glob("warehouse.*")].count(".wal") == 0


def test_creating_the_schema_again_keeps_what_is_there(warehouse: Warehouse) -> None:
    write(warehouse.path, "a")
    warehouse.create()
    assert count(warehouse) == 1


def test_the_file_of_the_last_entry_counts_whatever_the_clock_said(warehouse: Warehouse) -> None:
    file = {"file_name": ["a.csv"], "file_sha256": ["0"]}
    for batch, clock in (("first", "2026-02-01"), ("second", "2026-01-01")):
        received = pa.array([datetime.fromisoformat(clock).replace(tzinfo=UTC)])
        joined = {"batch_id": [batch], "source_id": ["a"], **file, "recorded_at": received}
        warehouse.append("joined_files", pa.table(joined))
    parameters = {"file_name": "a.csv", "file_sha256": "0"}
    assert warehouse.fetch("batch_with_file", parameters) == [{"batch_id": "second"}]


def test_the_labels_in_force_are_those_entered_last_whatever_the_clock_said(warehouse: Warehouse) -> None:
    router = {"router_version": ["r"], "classifier_id": ["c"], "label_hash": ["same"], "temperatures_id": ["t"]}
    router |= {"buckets_id": ["b"], "decision_estimate": ["scaled"], "mlflow_run_id": ["m"], "dagster_run_id": ["d"]}
    warehouse.append("routers", pa.table(router | {"mlflow_model_version": pa.array([1], pa.int32())}))
    labels = {"label_hash": ["same"], "name": ["x"], "simulated": [False], "instructions": [1], "models": [["a"]]}
    for source, clock in (("old.csv", "2026-02-01"), ("moved.csv", "2026-01-01")):
        entered = pa.array([datetime.fromisoformat(clock).replace(tzinfo=UTC)])
        row = labels | {"source": [source], "source_sha256": ["0"], "dagster_run_id": ["d"], "recorded_at": entered}
        warehouse.append("labels", pa.table(row))
    assert [row["source"] for row in warehouse.fetch("labels_in_force")] == ["moved.csv"]


@pytest.mark.parametrize(("run", "made"), [("first", "a"), ("second", "b"), ("another", "b")])
def test_a_run_compares_the_router_that_it_made_itself_though_another_was_made_since(
    home: Home, run: str, made: str
) -> None:
    home.warehouse.create()
    parts = ("classifier_id", "label_hash", "temperatures_id", "buckets_id", "decision_estimate", "mlflow_run_id")
    about = dict.fromkeys(parts, "x") | {"mlflow_model_version": 1}
    for version, of_run in (("a", "first"), ("b", "second")):
        router = about | {"router_version": version}
        record_candidate(home.warehouse, router, origin="trained", models=("m",), training_config="{}", run_id=of_run)
    found = home.warehouse.fetch("newest_candidate", {"runs": ["retry", run]})
    assert [row["router_version"] for row in found] == [made]
