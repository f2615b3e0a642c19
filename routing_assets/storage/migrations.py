"""Numbered migrations of the warehouse's schema: ``sql/migrations/0001_….sql``, ``0002_…`` and so on.

Each migration runs once, in order, in one transaction that also adds its row to ``schema_versions``. ``sql/schema.sql``
shows the schema after all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import duckdb

from routing_assets.foundation.packaged import beside_package
from routing_assets.foundation.sql import query
from routing_assets.storage import journal

STEPS: dict[str, Callable[[duckdb.DuckDBPyConnection], None]] = {"0004_journal": journal.take_up}
"""Python steps that run after the SQL of a migration, for what SQL cannot express."""


class NewerWarehouse(OSError):
    """A later version of this program has changed the schema of the warehouse."""


@dataclass(frozen=True)
class Migration:
    """The file ``sql/migrations/<name>.sql``; its name begins with its number."""

    name: str

    @property
    def number(self) -> int:
        """1 for the first."""
        return int(self.name.partition("_")[0])

    def run(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Change the schema and record it. The caller holds the transaction."""
        statements = query(f"migrations/{self.name}")
        connection.execute(statements)
        if self.name in STEPS:
            STEPS[self.name](connection)
        sha256 = hashlib.sha256(statements.encode()).hexdigest()
        version = {"number": self.number, "name": self.name, "sha256": sha256}
        connection.execute(query("insert_schema_version"), version)


@cache
def known() -> tuple[Migration, ...]:
    """Every migration of this program, oldest first."""
    files = (beside_package("sql") / "migrations").glob("*.sql")
    return tuple(Migration(name) for name in sorted(file.stem for file in files))


def pending(connection: duckdb.DuckDBPyConnection) -> list[Migration]:
    """The migrations that have not run on this warehouse, oldest first.

    Raises:
        NewerWarehouse: one has run that this program does not know.
    """
    applied = _applied(connection)
    names = {migration.name for migration in known()}
    if unknown := [name for name in applied if name not in names]:
        path = connection.execute("select path from duckdb_databases() where database_name = current_database()")
        raise NewerWarehouse(
            f"The warehouse {path.fetchall()[0][0]} has schema {unknown[-1]}, but this version of routing_assets knows "
            f"only schemas up to {known()[-1].name}. Update routing_assets and run again."
        )
    return [migration for migration in known() if migration.name not in applied]


def _applied(connection: duckdb.DuckDBPyConnection) -> list[str]:
    try:
        return [name for (name,) in connection.execute(query("schema_versions")).fetchall()]
    except duckdb.CatalogException:  # the warehouse is new, or older than the table of versions
        return []
