"""Warehouses of every version get the same schema: each migration runs once, completely or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

from routing_assets.foundation import attached
from routing_assets.foundation.sql import query
from routing_assets.storage import migrations
from routing_assets.storage.journal import LEDGERS, TAKEN_ON_TRUST
from routing_assets.storage.migrations import NewerWarehouse
from routing_assets.storage.warehouse import Warehouse, WarehouseUnavailable

OLD_SCHEMA = Path(__file__).with_name("old_schema.sql")
"""Of the first version, as its program ran it."""
OLD_ROWS = """
insert into labels (label_hash, name, source, simulated, instructions, models, dagster_run_id)
values ('h', 'n', 'labels.csv', false, 3, ['a', 'b'], 'run');
insert into calibration_temperatures (temperatures_id, model, temperature, shift) values ('t', 'a', 1.5, 0.25);
insert into routers (router_version, classifier_id, label_hash, temperatures_id, buckets_id, decision_estimate,
    mlflow_run_id, mlflow_model_version, dagster_run_id, reason)
values ('r', 'c', 'h', 't', 'b', 'scaled', 'm', 1, 'run', 'first');
insert into commitments (batch_id, dagster_run_id, usd, urgent, curve, committed_at)
values ('one', 'run', 0.1, false, '{}', '2026-01-01'), ('two', 'run', 0.2, false, '{}', '2026-01-02');
insert into dispatches (batch_id, dagster_run_id) values ('one', 'run');
insert into withdrawals (batch_id) values ('two');
"""
RELEASED = {
    "0001_first_version": "d72bb86b13881266a852e81cb8bf5f90890cde82808c7ec79f208f14bdadacd7",
    "0002_releases_and_refusals": "6d8569b5797bee46ce52c97cbb11a9ce17511f64c32d3a86228b6551fa53968f",
    "0003_month_plans": "ed056c83cd555005a58b3b118a4c53fdc3fc273fb3e369c39c0ba6ec8d9ff83e",
    "0004_journal": "2e0a3eafc86eda2e8a51edbd6ed7e77a59a364ae8727b720f044470e15f2e142",
    "0005_gradings": "b312e6d5f605383754c4a25c8397d47883f88664cc4bf704d54f739dc545659b",
    "0006_second_looks": "298b3aac5a1ebd1db4c59cf6b0b68d22bcde857e346117b2bd2777a3dda427cc",
    "0007_submissions": "df845fe1a3a69308bd2543390a848647c6249c14e9407d2d616450b56b0ec26d",
    "0008_orders_of_judges": "23572518d7f621b9c4abde76e18e5a5e7d29f71f5fbe9bb8e84fdacfe655d015",
}
"""SHA-256 of each migration. A released migration is never changed: the next change of the schema is a new file."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.duckdb"


def make_old(path: Path) -> None:
    """A warehouse made by the first version."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(OLD_SCHEMA.read_text())
        connection.execute(OLD_ROWS)


def forget_versions(path: Path) -> None:
    """A warehouse made by the version that had the same schema but no numbered migrations yet."""
    Warehouse(path).create()
    with duckdb.connect(str(path)) as connection:
        connection.execute(OLD_ROWS + "drop table schema_versions")


def rows_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    tables = connection.execute("select table_name from duckdb_tables() where not internal").fetchall()
    return {name: connection.table(name).to_arrow_table().to_pylist() for (name,) in tables}


def stored(path: Path) -> dict[str, list[dict[str, Any]]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return rows_of(connection)


def schema_of(connection: duckdb.DuckDBPyConnection) -> set[Any]:
    """Every table with its columns in order, their constraints, and every view and sequence."""
    about = (
        "select table_name, column_index, column_name, data_type, is_nullable, column_default from duckdb_columns()",
        "select table_name, constraint_text from duckdb_constraints()",
        "select view_name, sql from duckdb_views() where not internal",
        "select sequence_name, increment_by from duckdb_sequences()",
    )
    return {row for statement in about for row in connection.execute(statement).fetchall()}


def test_the_migrations_together_give_the_documented_schema(tmp_path: Path) -> None:
    with Warehouse(tmp_path / "new" / "warehouse.duckdb").reader() as connection:
        made = schema_of(connection)
    with duckdb.connect() as connection:
        connection.execute(query("schema"))
        assert made == schema_of(connection)


def test_the_migrations_are_numbered_without_gaps_and_are_those_that_were_released(path: Path) -> None:
    Warehouse(path).create()
    versions = stored(path)["schema_versions"]
    assert [version["number"] for version in versions] == list(range(1, len(RELEASED) + 1))
    assert {version["name"]: version["sha256"] for version in versions} == RELEASED


def test_a_warehouse_of_the_first_version_opens_with_its_rows_and_its_journal(path: Path) -> None:
    make_old(path)
    before = stored(path)
    with Warehouse(path).reader() as connection:
        after = rows_of(connection)
        with duckdb.connect() as final:
            final.execute(query("schema"))
            assert schema_of(connection) == schema_of(final)
        views = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        assert {name: len(connection.table(name).fetchall()) for (name,) in views} == {
            "current_decisions": 0,
            "monthly_traffic": 0,
            "newest_commitments": 2,
            "newest_submissions": 0,
        }
    for table, rows in before.items():
        kept = [{name: row[name] for name in old} for row, old in zip(after[table], rows, strict=True)]
        assert kept == rows, table
    assert [(row["kind"], row["subject"]) for row in after["journal"]] == [
        (TAKEN_ON_TRUST, ""),
        *(("commitments", batch) for batch in ("one", "two")),
        ("dispatches", "one"),
        ("withdrawals", "two"),
        ("routers", "r"),
    ]
    assert all(row["entry"] is not None for table in LEDGERS for row in after[table])


def test_a_warehouse_with_the_whole_schema_and_no_versions_stays_as_it_is(path: Path) -> None:
    forget_versions(path)
    before, head = stored(path), Warehouse(path).journal_head()
    for _ in range(2):
        Warehouse(path).create()
    after = stored(path)
    assert [version["name"] for version in after.pop("schema_versions")] == list(RELEASED)
    assert after == before
    assert Warehouse(path).journal_head() == head


def start(path: Path) -> None:
    Warehouse(path).create()


@pytest.mark.parametrize("made", [None, make_old, forget_versions])
def test_processes_that_start_at_once_run_each_migration_once(path: Path, made: Any) -> None:
    if made:
        made(path)
    with ProcessPoolExecutor(3) as pool:
        list(pool.map(start, [path] * 6))
    after = stored(path)
    assert [version["name"] for version in after["schema_versions"]] == list(RELEASED)
    assert [row["kind"] for row in after["journal"]].count(TAKEN_ON_TRUST) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from routing_assets.storage.migrations import Migration
from routing_assets.storage.warehouse import Warehouse
run = Migration.run
def killed(migration, connection):
    if sys.argv[2] == "inside":
        run(migration, connection)
    if migration.number == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[2] == "before":
        run(migration, connection)
Migration.run = killed
Warehouse(Path(sys.argv[1])).create()
"""


@pytest.mark.parametrize(("moment", "number"), [("inside", 1), ("before", 3), ("inside", 4)])
def test_after_a_kill_the_next_start_runs_the_rest(path: Path, moment: str, number: int) -> None:
    make_old(path)
    command = [sys.executable, "-c", KILLED, str(path), moment, str(number)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with duckdb.connect(str(path)) as connection:
        assert [migration.number for migration in migrations.pending(connection)] == [*range(number, len(RELEASED) + 1)]
    Warehouse(path).create()
    after = stored(path)
    assert [version["number"] for version in after["schema_versions"]] == [*range(1, len(RELEASED) + 1)]
    assert [row["kind"] for row in after["journal"]].count(TAKEN_ON_TRUST) == 1


def test_a_migration_that_fails_is_named_and_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_old(path)

    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("select no_such_column from journal")

    monkeypatch.setitem(migrations.STEPS, "0004_journal", fail)
    with pytest.raises(WarehouseUnavailable, match=r"The migration 0004_journal .* failed and changed nothing: Binder"):
        Warehouse(path).fetch("routers")
    assert "journal" not in stored(path)
    monkeypatch.undo()
    assert len(Warehouse(path).fetch("journal")) == 6


def write(warehouse: Warehouse) -> None:
    with warehouse.transaction():
        pass


@pytest.mark.parametrize("use", [Warehouse.create, lambda warehouse: warehouse.fetch("routers"), write])
def test_a_warehouse_of_a_later_version_is_refused_and_stays_as_it_is(path: Path, use: Any) -> None:
    Warehouse(path).create()
    with duckdb.connect(str(path)) as connection:
        version = {"number": 9, "name": "0009_what_is_to_come", "sha256": "0"}
        connection.execute(query("insert_schema_version"), version)
    before = path.read_bytes()
    known = list(RELEASED)[-1]
    said = f"has schema 0009_what_is_to_come, but .* knows only schemas up to {known}. Update routing_assets"
    with pytest.raises(NewerWarehouse, match=said) as refused:
        use(Warehouse(path))
    assert str(path) in str(refused.value)
    assert path.read_bytes() == before


def test_the_next_start_writes_the_first_anchor_after_a_kill(path: Path) -> None:
    Warehouse(path).create()
    Warehouse(path).anchors.path.unlink()
    Warehouse(path).create()
    assert Warehouse(path).anchors.read() == ([Warehouse(path).journal_head()], [])


def test_a_warehouse_that_is_up_to_date_is_only_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Warehouse(path).create()
    attach, accesses = attached.attach, []

    def watched(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        accesses.append(options)
        return attach(*arguments, **options)

    monkeypatch.setattr(attached, "attach", watched)
    Warehouse(path).fetch("routers")
    Warehouse(path).create()
    assert accesses == [{"read_only": True}] * 2
