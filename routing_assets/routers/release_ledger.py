"""Changes of what is in force: one at a time, and the ledger decides.

A release is one transaction on the ledger. The stored prices and MLflow's aliases follow from it: they are set after
the commit, and set again at the next start where a crash came in between.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from routing_assets.foundation.home import Home
from routing_assets.storage import journal
from routing_assets.storage.in_force import link_prices
from routing_assets.storage.warehouse import Warehouse

_log = logging.getLogger(__name__)


@contextmanager
def releasing(home: Home) -> Iterator[None]:
    """Nobody else changes what is in force meanwhile; what an interrupted release left to do is done first."""
    home.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(home.locks / "release.lock"):
        _follow_ledger(home)
        yield


def record_release(home: Home, *, router: Mapping[str, Any] | None, prices: Mapping[str, Any] | None) -> None:
    """Enter lines of ``routers`` and ``price_releases``, both or neither; prices and aliases follow.

    To be called within :func:`releasing`.
    """
    lines = {"routers": router, "price_releases": prices}
    _to_follow(home).touch()
    with Warehouse(home.warehouse).transaction() as ledger:
        for table, line in lines.items():
            if line is not None:
                journal.append(ledger, table, pa.Table.from_pylist([dict(line)]))
    _follow_ledger(home)


def finish_release(home: Home) -> None:
    """Where a release was interrupted, let stored prices and MLflow's aliases follow the ledger."""
    if _to_follow(home).exists():
        with releasing(home):
            pass


def _follow_ledger(home: Home) -> None:
    mark = _to_follow(home)
    if not mark.exists():
        return
    link_prices(home)
    served = [row["mlflow_model_version"] for row in Warehouse(home.warehouse).fetch("served_models")]
    if served and not _aliases_follow(home, served):
        return
    mark.unlink()


def _aliases_follow(home: Home, served: list[int]) -> bool:
    """Whether MLflow took the aliases; routing needs none, so that they may follow at a later start."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    from routing_assets.routers import mlflow_registry as tracking

    try:
        tracking.put_in_force(home, *served)
    except (MlflowException, SQLAlchemyError) as error:
        _log.warning("MLflow's alias of the router in force is set at the next start, for now it failed: %s", error)
        return False
    return True


def _to_follow(home: Home) -> Path:
    return home.locks / "release.unfinished"
