"""The DuckDB warehouse: calibration tables, ledgers and audit queries. The only place that opens the database.

DuckDB allows one writing process or many reading ones, never both. So every connection here lasts for one short
transaction: opening it is retried, with jitter, while another process holds the file, and it is always closed.

DuckDB reads the header of the file before it locks the file. If another process commits between the two, the first one
starts from the old state, and its own commit undoes that of the other. So no process may open the file while another
one writes. A lock file beside it ensures this: a writer holds it from before it opens the database until it has closed
it, a reader only while it opens the database.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from routing_assets.foundation import attached
from routing_assets.foundation.sql import query
from routing_assets.storage import journal, migrations
from routing_assets.storage.anchors import FILE as ANCHORS_FILE
from routing_assets.storage.anchors import Anchors


class WarehouseUnavailable(OSError):
    """The disk is full, the warehouse cannot be opened or written, or a migration failed."""


class WarehouseBusy(TimeoutError):
    """Another process kept the warehouse open for longer than the timeout."""


@dataclass(frozen=True)
class Warehouse:
    """The warehouse file at ``path``; waits up to ``timeout_s`` for other processes to close it."""

    path: Path
    timeout_s: float = 60.0

    @property
    def anchors(self) -> Anchors:
        """The head of the journal after each commit, in a file beside the database."""
        return Anchors(self.path.with_name(ANCHORS_FILE))

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-write transaction: committed at the end, rolled back on any error.

        Rows of a ledger are appended by ``journal.append``; the head of the journal is anchored after the commit.

        Raises:
            NewerWarehouse: a later version of this program changed the schema.
        """
        with self._connection(read_only=False) as connection:
            for migration in migrations.pending(connection):
                with self._committed(connection):
                    self._run(migration, connection)
            self.anchors.add(journal.head(connection))
            with self._committed(connection):
                yield connection
            self.anchors.add(journal.head(connection))

    @contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A short read-only connection. Pending migrations run first.

        Raises:
            NewerWarehouse: a later version of this program changed the schema.
        """
        while True:
            if self.path.exists():
                with self._connection(read_only=True) as connection:
                    if not migrations.pending(connection):
                        yield connection
                        return
            self._migrate()

    def create(self) -> None:
        """Run the pending migrations (``sql/migrations``); only reads when there are none."""
        if self.anchors.path.exists():  # missing if a process died between the journal's first commit and its anchor
            with self.reader():
                return
        self._migrate()

    def pending_migrations(self) -> list[str]:
        """Names of the migrations that have not run yet; none is run."""
        with self._connection(read_only=True) as connection:
            return [migration.name for migration in migrations.pending(connection)]

    def append(self, table: str, rows: pa.Table) -> None:
        """Append ``rows`` to ``table`` by column name; if the table is a ledger, add their entries to the journal."""
        with self.transaction() as connection:
            journal.append(connection, table, rows)

    def journal_head(self) -> journal.Head | None:
        """The newest entry of the journal; None if its table was removed."""
        with self.reader() as connection:
            return journal.head(connection)

    def run(self, name: str, rows: pa.Table) -> None:
        """Run ``sql/<name>.sql``, which reads ``rows``, as one transaction."""
        with self.transaction() as connection:
            connection.register("rows", rows)
            connection.execute(query(name))

    def fetch(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of ``sql/<name>.sql`` as dictionaries."""
        with self.reader() as connection:
            cursor = connection.execute(query(name), dict(parameters or {}))
            columns = [column[0] for column in cursor.description or []]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def _migrate(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.transaction():
            pass

    def _run(self, migration: migrations.Migration, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            migration.run(connection)
        except duckdb.Error as error:
            raise WarehouseUnavailable(
                f"The migration {migration.name} of the warehouse {self.path} failed and changed nothing: {error}"
            ) from error

    @contextmanager
    def _committed(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Commits at the end of the block, rolls back on any error."""
        connection.execute("begin")
        try:
            yield
        except BaseException:
            connection.execute("rollback")
            raise
        try:
            connection.execute("commit")
        except (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException) as error:
            raise WarehouseUnavailable(f"The warehouse {self.path} could not commit: {error}") from error

    @contextmanager
    def _connection(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with attached.one_at_a_time, ExitStack() as opening:
            opening.enter_context(self._opener())
            connection, failed = self._connect(read_only=read_only), True
            if read_only:
                opening.close()
            try:
                yield connection
                failed = False
            finally:
                attached.detach(self.path, connection, failed=failed)

    @contextmanager
    def _opener(self) -> Iterator[None]:
        """The lock of the one process that opens or writes the file; freed when that process dies."""
        lock = FileLock(self.path.with_suffix(".lock"), is_singleton=True)
        try:
            lock.acquire(timeout=self.timeout_s)
        except Timeout as error:
            raise WarehouseBusy(
                f"Another process of routing_assets has been writing to the warehouse {self.path} for more than "
                f"{self.timeout_s:.0f} s. Wait for it, or end it, and run again."
            ) from error
        except OSError as error:
            raise WarehouseUnavailable(f"The warehouse {self.path} cannot be opened: {error}") from error
        try:
            yield
        finally:
            lock.release()

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + self.timeout_s
        pause = 0.02
        while True:
            try:
                connection = attached.attach(self.path, read_only=read_only)
            except duckdb.IOException as error:
                if not self._is_held_elsewhere(error):
                    raise WarehouseUnavailable(f"The warehouse {self.path} cannot be opened: {error}") from error
                if time.monotonic() >= deadline:
                    raise WarehouseBusy(
                        f"Another program has had the warehouse {self.path} open for more than {self.timeout_s:.0f} s. "
                        f"Close that program and run again. DuckDB says: {error}"
                    ) from error
            else:
                connection.execute("set TimeZone = 'UTC'")  # times are read and shown as UTC wherever this runs
                return connection
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not cryptography
            pause = min(pause * 1.5, 1.0)

    def _is_held_elsewhere(self, error: duckdb.IOException) -> bool:
        """DuckDB reports a locked file only in the error's text. The path is removed first: it may hold any words."""
        return ": Conflicting lock is held" in str(error).replace(str(self.path), "")
