"""The prices that batches are routed by: runs make price lists, and a release puts one of them in force."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.settings import Home
from routing_assets.store import Store

PRICES = ("model_catalog", "cost_model")
"""Assets whose tables are current only once they are put in force."""


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


def put_prices_in_force(home: Home, made_by: Sequence[str]) -> None:
    """Put the price list of the first of these runs that made one in force; where none did, nothing changes."""
    store = Store(home.store)
    for run in made_by:
        made = [asset for asset in PRICES if store.path(asset, None, run).exists()]
        if "cost_model" in made:
            for asset in made:
                store.make_current(asset, None, run)
            return


def price_list(home: Home, version: str) -> pa.Table | None:
    """The stored ``cost_model`` of a version; None where it is gone."""
    for path in sorted((home.store / "cost_model").glob("*.parquet")):
        table = pq.read_table(path, partitioning=None)
        if table["price_version"][0].as_py() == version:
            return table
    return None
