"""The moments at which a crash would hurt most: just before and after each rename, exchange, removal of a folder, link,
commit, migration, anchor of the journal and MLflow write.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb


class CrashPoints:
    """Counts the moments of this process; kills it at number ``fatal``, or at the first that is called so."""

    def __init__(self, fatal: int | str | None = None) -> None:
        self.fatal, self.names = fatal, []

    def pass_by(self, name: str) -> None:
        """One moment."""
        self.names.append(name)
        if self.fatal in (len(self.names) - 1, name):
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """``function`` with a moment before and one after it."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.pass_by(f"before {name}")
            result = function(*args, **kwargs)
            self.pass_by(f"after {name}")
            return result

        return wrapped

    def install(self) -> CrashPoints:
        """Watch this process; for a forked child, as nothing is undone."""
        import mlflow
        from mlflow import MlflowClient

        from routing_assets.storage.anchors import Anchors
        from routing_assets.storage.migrations import Migration

        self.install_on_files().install_on_commits()
        Anchors.add = self.around(Anchors.add, "anchor")
        Migration.run = self.around(Migration.run, "migration")
        os.fsync = self.around(os.fsync, "flush to the disk")
        mlflow.log_params = self.around(mlflow.log_params, "MLflow parameters")
        mlflow.pyfunc.log_model = self.around(mlflow.pyfunc.log_model, "MLflow model")
        alias = MlflowClient.set_registered_model_alias
        MlflowClient.set_registered_model_alias = self.around(alias, "MLflow alias")
        return self

    def install_on_files(self) -> CrashPoints:
        """Watch only what this process does with files."""
        from routing_assets.batches import outbox

        outbox.exchange = self.around(outbox.exchange, "exchange")
        shutil.rmtree = self.around(shutil.rmtree, "removal")
        shutil.move = self.around(shutil.move, "move")
        os.replace = self.around(os.replace, "rename")
        os.link = self.around(os.link, "link")
        return self

    def install_on_commits(self) -> CrashPoints:
        """Watch what this process commits to the warehouse."""
        from routing_assets.storage.warehouse import Warehouse

        transaction = Warehouse.transaction

        @contextmanager
        def watched(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
            with transaction(warehouse) as connection:
                yield connection
                self.pass_by("before commit")
            self.pass_by("after commit")

        Warehouse.transaction = watched
        return self
