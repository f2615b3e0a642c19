"""Dagster's instance with kept connections: the same files, nothing lost by threads, many runs, or a killed process."""

from __future__ import annotations

import hashlib
import inspect
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

# No public class of Dagster stands for these: they are what kept_connections.py overrides, and are watched here.
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from routing_assets.cli.run_job import instance_of
from routing_assets.dagster_instance.kept_connections import KEPT_RUNS, Events
from routing_assets.home import Home


@dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="batches"))
def numbers() -> int:
    return 1


def materialise(instance: dg.DagsterInstance, partition: str) -> str:
    instance.add_dynamic_partitions("batches", [partition])
    return dg.materialize([numbers], instance=instance, partition_key=partition).run_id


LOOKED_AT = {
    SqliteEventLogStorage: {
        "_connect": "b8435f2665689760",
        "has_table": "577d801c70b2a4a5",
        "wipe": "de02c63676e7d477",
        "dispose": "df16dafbfa8427c1",
        "__init__": "264c15baa761a7bb",
    },
    SqliteRunStorage: {"connect": "d343abae6e9bea85", "dispose": "cff0c9b09050e236", "__init__": "391592fd1e58acba"},
    DagsterSqliteStorage: {"__init__": "bcf5aa27a5dd083f", "from_config_value": "7330f7b17b217d04"},
}
"""Hashes of the methods of Dagster that are overridden or called, as they were when this was last looked at."""


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, methods in LOOKED_AT.items() for name in methods])
def test_overridden_methods_of_dagster_are_unchanged(owner: type, name: str) -> None:
    source = inspect.getsource(getattr(owner, name))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == LOOKED_AT[owner][name], (
        f"Dagster changed {owner.__name__}.{name}: read it, see whether kept_connections.py still fits, then enter the "
        f"new hash here"
    )


def open_databases(home: Home) -> list[str]:
    files = (os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))
    return [file for file in files if file.endswith(".db") and Path(file).is_relative_to(home.dagster)]


def test_an_installation_keeps_its_connections(home: Home) -> None:
    with instance_of(home) as instance:
        assert isinstance(instance.event_log_storage, Events)


@pytest.mark.parametrize("first", ["Dagster's own", "kept"])
def test_either_storage_reads_what_the_other_wrote(home: Home, first: str) -> None:
    instance_file = home.create().dagster / "dagster.yaml"
    kept = instance_file.read_text()
    own = kept.replace(kept[kept.index("storage:") : kept.index("concurrency:")], "")
    for content, partition in zip((kept, own) if first == "kept" else (own, kept), ("a", "b"), strict=True):
        instance_file.write_text(content)
        with instance_of(home) as instance:
            assert isinstance(instance.event_log_storage, Events) == (content == kept)
            materialise(instance, partition)
    with instance_of(home) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("numbers")) == {"a", "b"}
        assert all(run.is_success for run in instance.get_runs())


def test_many_runs_keep_their_logs_and_few_stay_open(home: Home) -> None:
    with instance_of(home) as instance:
        runs = [materialise(instance, str(number)) for number in range(KEPT_RUNS + 4)]
        assert len(set(open_databases(home))) <= KEPT_RUNS + 3
        for run in runs:
            kinds = [log.dagster_event.event_type_value for log in instance.all_logs(run) if log.dagster_event]
            assert (kinds.count("ASSET_MATERIALIZATION"), kinds[-1]) == (1, "PIPELINE_SUCCESS")
    assert open_databases(home) == []


def test_the_log_of_each_run_has_the_tables_of_dagsters_own(home: Home, tmp_path: Path) -> None:
    def tables(events: SqliteEventLogStorage, run: str) -> list[Any]:
        wanted = (
            "pragma journal_mode",
            "select * from alembic_version",
            "select name, sql from sqlite_master order by name",
        )
        with events.run_connection(run) as connection:
            return [connection.exec_driver_sql(query).fetchall() for query in wanted]

    own = SqliteEventLogStorage(str(tmp_path))
    with instance_of(home) as instance:
        events = instance.event_log_storage
        assert isinstance(events, Events)
        assert tables(events, "a") == tables(events, "b") == tables(own, "c")


def test_threads_lose_no_event(home: Home) -> None:
    with instance_of(home) as instance:
        names = [str(number) for number in range(40)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda n: instance.add_dynamic_partitions("batches", [n]), names))
            list(
                threads.map(
                    lambda n: instance.report_runless_asset_event(dg.AssetMaterialization("numbers", partition=n)),
                    names,
                )
            )
        assert instance.get_materialized_partitions(dg.AssetKey("numbers")) == set(names)


KILLED = """
import os, signal, sys
import dagster as dg
from routing_assets.cli.run_job import instance_of
from routing_assets.home import Home
@dg.op
def dies(context):
    context.log.info("the last words")
    os.kill(os.getpid(), signal.SIGKILL)
@dg.job
def killed():
    dies()
with instance_of(Home.from_env()) as instance:
    killed.execute_in_process(instance=instance)
"""


def test_a_killed_process_leaves_every_event_it_logged(home: Home) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -signal.SIGKILL
    with instance_of(home) as instance:
        (run,) = instance.get_runs()
        assert "the last words" in [log.user_message for log in instance.all_logs(run.run_id)]
        assert run.status == dg.DagsterRunStatus.STARTED


def test_a_wiped_instance_starts_empty(home: Home) -> None:
    with instance_of(home) as instance:
        materialise(instance, "a")
        instance.wipe()
        assert instance.get_runs() == []
        run = materialise(instance, "b")
        assert instance.get_materialized_partitions(dg.AssetKey("numbers")) == {"b"}
        assert instance.all_logs(run)


def test_only_the_log_of_a_run_does_not_wait_for_the_disk(home: Home) -> None:
    with instance_of(home) as instance:
        run, events = materialise(instance, "a"), instance.event_log_storage
        for connect, synchronous in (
            (events.index_connection, 2),
            (lambda: events.run_connection(run), 1),
            (instance.run_storage.connect, 2),
        ):
            with connect() as connection:
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
