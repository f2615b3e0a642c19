"""DuckDB files, attached to a DuckDB of this process for as long as they are used.

Starting a DuckDB registers some thousands of functions, which takes eight times as long as opening a file with it. So
the process keeps the one that it started, which holds no file while nobody uses it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import duckdb

_engines: dict[Path, _Engine] = {}
one_at_a_time = threading.RLock()
"""To be held from before a file is attached until it is detached: DuckDB attaches a file once, in one access mode."""


class _Engine:
    """A running DuckDB for one file, which ``users`` connections use now."""

    def __init__(self, path: Path) -> None:
        self.path, self.users, self.read_only = path, 0, True
        self.duckdb = duckdb.connect(config={"temp_directory": f"{path}.tmp"})

    def attach(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        if not self.users:
            access = "read_only" if read_only else "read_write"
            quoted = str(self.path).replace("'", "''")
            self.duckdb.execute(f"attach '{quoted}' as warehouse ({access})")
            self.read_only = read_only
        elif read_only != self.read_only:
            raise duckdb.ConnectionException(f"This process has {self.path} open in another access mode.")
        connection = self.duckdb.cursor()
        connection.execute("use warehouse")
        self.users += 1
        return connection

    def detach(self) -> None:
        self.users -= 1
        if not self.users:
            self.duckdb.execute("detach warehouse")


def attach(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """A connection to the file at ``path``, which is made unless it is there; to be given to :func:`detach`.

    Raises:
        duckdb.IOException: another process holds the file, or it cannot be opened.
        duckdb.ConnectionException: this thread uses the file in the other access mode.
    """
    _stop_idle(but=path)
    if path not in _engines:
        _engines[path] = _Engine(path)
    try:
        return _engines[path].attach(read_only=read_only)
    except BaseException:
        _stop_idle()  # it may have attached the file
        raise


def detach(path: Path, connection: duckdb.DuckDBPyConnection, *, failed: bool) -> None:
    """Close the file, unless another connection uses it. After a failure its DuckDB starts anew: it may be invalid."""
    connection.close()
    engine = _engines[path]
    if failed and engine.users == 1:
        _engines.pop(path).duckdb.close()
    else:
        engine.detach()


def _stop_idle(but: Path | None = None) -> None:
    for engine in [engine for path, engine in _engines.items() if path != but and not engine.users]:
        _engines.pop(engine.path).duckdb.close()


def _before_fork() -> None:
    """A child has none of the threads of a DuckDB that runs, so none does."""
    one_at_a_time.acquire()
    _stop_idle()


os.register_at_fork(before=_before_fork, after_in_parent=one_at_a_time.release, after_in_child=one_at_a_time.release)
