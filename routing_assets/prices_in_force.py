"""The prices that batches are routed by: runs make price lists, and a release puts one of them in force."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.units import refuse_doubtful_prices
from routing_assets.settings import Home
from routing_assets.sources import catalog_from_table, is_simulated, read_catalog
from routing_assets.store import Store
from routing_assets.warehouse import Warehouse

PRICES = ("model_catalog", "cost_model")
"""Assets whose tables are current only once they are put in force."""
IN_FORCE = "in_force"
"""Stands for the catalog in force where a catalog is asked for."""


def prices_in_force(home: Home, made_by: Sequence[str] = ()) -> tuple[str | None, tuple[str, ...]]:
    """Version and models of the prices in force; None and no models before the first.

    They are those of the stored cost model, not of the ledger's newest list, which need not have come into force.

    Args:
        made_by: runs whose price list, of the first that made one, is taken instead.
    """
    store = Store(home.store)
    if not any(store.path("cost_model", None, run).exists() for run in (*made_by, None)):
        return None, ()
    stored = store.read("cost_model", None, *made_by)
    return stored["price_version"][0].as_py(), tuple(json.loads(stored["cost_model"][0].as_py())["models"])


def catalog_in_force(home: Home, made_by: Sequence[str] = ()) -> ModelCatalog | None:
    """The catalog of the prices in force, or of the first of the runs that made one; None where there is none."""
    store = Store(home.store)
    if not any(store.path("model_catalog", None, run).exists() for run in (*made_by, None)):
        return None
    return catalog_from_table(store.read("model_catalog", None, *made_by))


def new_catalog(home: Home, source: str | None, *, confirmed: bool) -> ModelCatalog | None:
    """The catalog at ``source``; None where costs come from the label table.

    Raises:
        InvalidInput: it cannot be read, or its prices look like another unit and are not confirmed.
    """
    if source == IN_FORCE:
        return catalog_in_force(home)
    catalog = read_catalog(source)
    if catalog is not None and not confirmed:
        refuse_doubtful_prices(catalog, catalog_in_force(home))
    return catalog


def would_simulate(home: Home, made_by: Sequence[str], *, labels_are_simulated: bool) -> bool:
    """Whether simulated prices that the runs made would replace real ones.

    Args:
        labels_are_simulated: those that the router in force learnt from; their own costs, without a catalog, are too.
    """
    if prices_in_force(home)[0] is None:
        return False
    made, before = catalog_in_force(home, made_by), catalog_in_force(home)
    is_real = not labels_are_simulated if before is None else not is_simulated(before)
    return is_real and made is not None and is_simulated(made)


def next_price_release(home: Home, made_by: Sequence[str], *, run_id: str) -> dict[str, Any] | None:
    """The ledger's line that puts the price list of the first of these runs that made one in force; None where none
    did, or it is in force already.
    """
    store = Store(home.store)
    made = {asset: [run for run in made_by if store.path(asset, None, run).exists()] for asset in PRICES}
    if not made["cost_model"]:
        return None
    newest = Warehouse(home.warehouse).fetch("latest_price_release")
    before = newest[0] if newest else {"cost_model_run": None, "model_catalog_run": None}
    now = {
        "cost_model_run": made["cost_model"][0],
        "model_catalog_run": made["model_catalog"][0] if made["model_catalog"] else before["model_catalog_run"],
    }
    if all(before[name] == run for name, run in now.items()):
        return None
    return {"price_version": prices_in_force(home, made_by)[0], **now, "dagster_run_id": run_id}


def link_prices(home: Home) -> None:
    """Make the stored prices current that the ledger says are in force."""
    for released in Warehouse(home.warehouse).fetch("latest_price_release"):
        for asset in PRICES:
            if run := released[f"{asset}_run"]:
                Store(home.store).make_current(asset, None, run)


def price_list(home: Home, version: str) -> pa.Table | None:
    """The stored ``cost_model`` of a version; None where it is gone."""
    for path in sorted((home.store / "cost_model").glob("*.parquet")):
        table = pq.read_table(path, partitioning=None)
        if table["price_version"][0].as_py() == version:
            return table
    return None
