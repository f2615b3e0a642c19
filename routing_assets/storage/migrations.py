"""The schema of the warehouse in numbered steps: ``sql/migrations/0001_….sql``, ``0002_…`` and so on.

Each step runs once, in order, in one transaction with its row in ``schema_versions``. ``sql/schema.sql`` shows what
they come to.
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
"""What a migration does after its SQL, where SQL cannot say it."""


class NewerWarehouse(OSError):
    """A later version of this program has changed the schema of the warehouse."""


@dataclass(frozen=True)
class Migration:
    """The step ``sql/migrations/<name>.sql``; its name begins with its number."""

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
    """The migrations that this warehouse has not seen, oldest first.

    Raises:
        NewerWarehouse: it has seen one that this program does not know.
    """
    seen = _seen(connection)
    names = {migration.name for migration in known()}
    if unknown := [name for name in seen if name not in names]:
        path = connection.execute("select path from duckdb_databases() where database_name = current_database()")
        raise NewerWarehouse(
            f"The warehouse {path.fetchall()[0][0]} has schema {unknown[-1]}, and this version of routing_assets knows "
            f"schemas up to {known()[-1].name}. Update routing_assets and run again."
        )
    return [migration for migration in known() if migration.name not in seen]


def _seen(connection: duckdb.DuckDBPyConnection) -> list[str]:
    try:
        return [name for (name,) in connection.execute(query("schema_versions")).fetchall()]
    except duckdb.CatalogException:  # it is new, or from before there were versions
        return []
