"""Dagster's SQLite storage, with its connections kept open.

Dagster's own storage opens the database and compiles the SQL for every statement, over four hundred times in a run on
one small batch. Such a run takes 2.6 s of processor time, and 1.5 s with this storage
(``tests/benchmarks/small_batch.py``, with and without ``storage:`` in ``dagster.yaml``). No setting of Dagster changes
that, so private classes are overridden here; a test fails when Dagster changes one of them. Files, schema, locks and
transactions stay Dagster's own, and either storage reads what the other wrote. ``dagster.yaml`` names the class.

The log of a single run is written without waiting for the disk. A power cut may lose its last lines, but it ends that
run anyway. Runs, their states and materialisations are on disk before Dagster continues, as in its own storage.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from routing_assets.foundation.files import PARTIAL

KEPT_RUNS = 8
"""How many databases of single runs stay open."""


class KeptConnections(DagsterSqliteStorage):
    """Keeps the connections of runs and events. Schedules stay in Dagster's own storage: a run writes none."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._run_storage = Runs(self._run_storage._conn_string)
        self._event_log_storage = Events(self._event_log_storage._base_dir)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> KeptConnections:
        return cls.from_local(inst_data=inst_data, **config_value)


class Runs(SqliteRunStorage):
    """Storage of runs: one database."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engine = _engine(conn_string)
        super().__init__(conn_string, inst_data)

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        self._engine.dispose()
        super().dispose()


class Events(SqliteEventLogStorage):
    """Storage of events: an index, and a database for each run, of which the last ``KEPT_RUNS`` opened stay open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._index = _engine(create_db_conn_string(base_dir, INDEX_SHARD_NAME))
        self._runs: dict[str, sa.Engine] = {}
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = self._index if shard == INDEX_SHARD_NAME else self._engine_of_run(shard)
            if shard not in self._initialized_dbs:
                self._make_tables(shard, engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _make_tables(self, shard: str, engine: sa.Engine) -> None:
        """As Dagster does; but its tables are made once for all new runs, whose logs begin as copies."""
        path = Path(self.path_for_shard(shard))
        new = shard != INDEX_SHARD_NAME and not path.exists()
        if not (new and _put(path, self._empty_log)):
            self._initdb(engine)

    @cached_property
    def _empty_log(self) -> bytes:
        with TemporaryDirectory() as folder:
            engine = _engine(create_db_conn_string(folder, "empty"))
            self._initdb(engine)
            engine.dispose()
            return Path(folder, "empty.db").read_bytes()

    def _engine_of_run(self, run_id: str) -> sa.Engine:
        if run_id not in self._runs:
            if len(self._runs) == KEPT_RUNS:
                self._runs.pop(next(iter(self._runs))).dispose()
            engine = self._runs[run_id] = _engine(self.conn_string_for_shard(run_id))
            sa.event.listen(engine, "connect", _do_not_wait_for_the_disk)
        return self._runs[run_id]

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables:
            with self._index.connect() as connection:  # also called within a transaction, so without the lock
                if not sa.inspect(connection).has_table(table_name):
                    return False
            self._tables.add(table_name)
        return True

    def wipe(self) -> None:
        self._close()
        self._tables.clear()
        super().wipe()

    def dispose(self) -> None:
        self._close()
        super().dispose()

    def _close(self) -> None:
        with self._db_lock:
            for engine in (self._index, *self._runs.values()):
                engine.dispose()


def _engine(conn_string: str) -> sa.Engine:
    return sa.create_engine(
        conn_string, poolclass=sa.pool.QueuePool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
    )


def _put(path: Path, content: bytes) -> bool:
    """Make a file with this content at once; False where another process made it before."""
    partial = path.with_name(f"{uuid4().hex}{PARTIAL}")
    try:
        partial.write_bytes(content)
        os.link(partial, path)
    except FileExistsError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True


def _do_not_wait_for_the_disk(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
