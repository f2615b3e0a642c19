"""Change which router and prices are in force, one change at a time.

A release is one transaction on the ledger. The stored prices and MLflow's aliases follow from it: they are set after
the commit, and set again at the next start where a crash came in between.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from routing_assets.routers.registry import Registry
from routing_assets.storage import journal
from routing_assets.storage.in_force import link_prices
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReleaseLedger:
    """What a release changes: rows of the warehouse, prices in the store, aliases in the registry."""

    warehouse: Warehouse
    store: Store
    registry: Registry
    locks: Path
    """The folder of the lock, and of the mark that a release is not finished."""


@contextmanager
def releasing(releases: ReleaseLedger) -> Iterator[None]:
    """A block in which no other process changes what is in force. An interrupted release is finished first."""
    releases.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(releases.locks / "release.lock"):
        _follow_ledger(releases)
        yield


def record_release(
    releases: ReleaseLedger, *, router: Mapping[str, Any] | None, prices: Mapping[str, Any] | None
) -> None:
    """Append rows to ``routers`` and ``price_releases``, both or neither; stored prices and aliases follow.

    To be called within :func:`releasing`.
    """
    lines = {"routers": router, "price_releases": prices}
    _to_follow(releases).touch()
    with releases.warehouse.transaction() as ledger:
        for table, line in lines.items():
            if line is not None:
                journal.append(ledger, table, pa.Table.from_pylist([dict(line)]))
    _follow_ledger(releases)


def finish_release(releases: ReleaseLedger) -> None:
    """Where a release was interrupted, let stored prices and MLflow's aliases follow the ledger."""
    if _to_follow(releases).exists():
        with releasing(releases):
            pass


def _follow_ledger(releases: ReleaseLedger) -> None:
    mark = _to_follow(releases)
    if not mark.exists():
        return
    link_prices(releases.warehouse, releases.store)
    served = [row["mlflow_model_version"] for row in releases.warehouse.fetch("served_models")]
    if served and not _aliases_follow(releases.registry, served):
        return
    mark.unlink()


def _aliases_follow(registry: Registry, served: list[int]) -> bool:
    """Whether MLflow took the aliases; routing does not need them, so they may be set at a later start."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    from routing_assets.routers import mlflow_registry as tracking

    try:
        tracking.put_in_force(registry, *served)
    except (MlflowException, SQLAlchemyError) as error:
        _log.warning("MLflow's alias of the router in force could not be set, and is set at the next start: %s", error)
        return False
    return True


def _to_follow(releases: ReleaseLedger) -> Path:
    return releases.locks / "release.unfinished"
