"""DuckDB files, attached to a DuckDB of this process for as long as they are used, and queries of tables in memory.

Starting a DuckDB registers some thousands of functions, which takes eight times as long as opening a file with it. So
the process keeps the one that it started, which holds no file while nobody uses it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

_engines: dict[Path | None, _Engine] = {}
_of_parent: list[_Engine] = []
one_at_a_time = threading.RLock()
"""To be held from before a file is attached until it is detached: DuckDB attaches a file once, in one access mode."""


class _Engine:
    """A running DuckDB for one file, or for tables in memory; ``users`` connections use it now."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.users, self.read_only = path, 0, True
        self.duckdb = duckdb.connect(config={"temp_directory": f"{path}.tmp"} if path else {})

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
    for other in [engine for engine in _engines.values() if engine.path not in (path, None)]:
        _stop_idle(other)
    try:
        return _engine(path).attach(read_only=read_only)
    except BaseException:
        if path in _engines:
            _stop_idle(_engines[path])  # it may have attached the file
        raise


def detach(path: Path, connection: duckdb.DuckDBPyConnection, *, failed: bool) -> None:
    """Close the file, unless another connection uses it. After a failure its DuckDB starts anew: it may be invalid."""
    connection.close()
    engine = _engines[path]
    if failed and engine.users == 1:
        _engines.pop(path).duckdb.close()
    else:
        engine.detach()


@contextmanager
def in_memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees no file, to query tables that are registered with it; no other connection sees those."""
    with one_at_a_time:
        engine = _engine(None)
        connection = engine.duckdb.cursor()
        engine.users += 1
    try:
        yield connection
    finally:
        connection.close()
        with one_at_a_time:
            engine.users -= 1


def _engine(path: Path | None) -> _Engine:
    if path not in _engines:
        _engines[path] = _Engine(path)
    return _engines[path]


def _stop_idle(engine: _Engine) -> None:
    if not engine.users:
        _engines.pop(engine.path).duckdb.close()


def _before_fork() -> None:
    """A child has none of the threads of a running DuckDB, so those that can be stopped are."""
    one_at_a_time.acquire()
    for engine in list(_engines.values()):
        _stop_idle(engine)


def _in_child() -> None:
    if None in _engines:  # another thread of the parent queries it; it cannot even be closed here
        _of_parent.append(_engines.pop(None))
    one_at_a_time.release()


os.register_at_fork(before=_before_fork, after_in_parent=one_at_a_time.release, after_in_child=_in_child)
