"""The router and the prices in force. Runs make price lists; a release puts one of them in force."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.foundation.errors import InvalidInput
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

PRICES = ("model_catalog", "cost_model")
"""Assets whose table becomes current when it is put in force, not when it is made."""


def prices_in_force(store: Store, made_by: Sequence[str] = ()) -> tuple[str | None, tuple[str, ...]]:
    """Version and models of the prices in force; ``(None, ())`` while there are none.

    They are read from the current cost model in the store: the ledger's newest price list may not be in force.

    Args:
        made_by: runs; the price list of the first of them that made one is used instead.
    """
    if not any(store.path("cost_model", None, run).exists() for run in (*made_by, None)):
        return None, ()
    stored = store.read("cost_model", None, *made_by)
    return stored["price_version"][0].as_py(), tuple(json.loads(stored["cost_model"][0].as_py())["models"])


def next_price_release(
    warehouse: Warehouse, store: Store, made_by: Sequence[str], *, run_id: str
) -> dict[str, Any] | None:
    """The ledger row that puts the price list of these runs in force (of the first run that made one).

    None when no run made a price list, or when it is in force already.
    """
    made = {asset: [run for run in made_by if store.path(asset, None, run).exists()] for asset in PRICES}
    if not made["cost_model"]:
        return None
    newest = warehouse.fetch("latest_price_release")
    before = newest[0] if newest else {"cost_model_run": None, "model_catalog_run": None}
    now = {
        "cost_model_run": made["cost_model"][0],
        "model_catalog_run": made["model_catalog"][0] if made["model_catalog"] else before["model_catalog_run"],
    }
    if all(before[name] == run for name, run in now.items()):
        return None
    return {"price_version": prices_in_force(store, made_by)[0], **now, "dagster_run_id": run_id}


def link_prices(warehouse: Warehouse, store: Store) -> None:
    """Make the prices that are in force by the ledger current in the store."""
    for released in warehouse.fetch("latest_price_release"):
        for asset in PRICES:
            if run := released[f"{asset}_run"]:
                store.make_current(asset, None, run)


def price_list(store: Store, version: str) -> pa.Table | None:
    """The stored ``cost_model`` of a price version; None if it was deleted."""
    for path in sorted((store.root / "cost_model").glob("*.parquet")):
        table = pq.read_table(path, partitioning=None)
        if table["price_version"][0].as_py() == version:
            return table
    return None


def candidate(warehouse: Warehouse, version: str) -> dict[str, Any]:
    """The router of a version that passed its checks. Raises InvalidInput when there is none."""
    rows = warehouse.fetch("candidate", {"router_version": version})
    if not rows:
        raise InvalidInput(
            f"there is no router '{version}' that passed its checks", remedy="List routers: routing-assets routers."
        )
    return rows[0]


def router_in_force(warehouse: Warehouse) -> dict[str, Any]:
    """The ledger's row of the router in force. Raises InvalidInput when no router has been trained yet."""
    rows = warehouse.fetch("latest_router")
    if not rows:
        raise InvalidInput(
            "no router has been trained yet",
            source=str(warehouse.path.parent),
            remedy="Run routing-assets train first.",
        )
    return rows[0]
