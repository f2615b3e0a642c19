"""The model catalog in force, and what may replace it."""

from __future__ import annotations

from collections.abc import Sequence

from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_from_table, read_catalog
from routing_assets.pricing.units import refuse_doubtful_prices
from routing_assets.routers.label_sources import is_simulated
from routing_assets.storage.in_force import prices_in_force
from routing_assets.storage.parquet_store import Store

IN_FORCE = "in_force"
"""Names the catalog in force where the path of a catalog is expected."""


def catalog_in_force(store: Store, made_by: Sequence[str] = ()) -> ModelCatalog | None:
    """The catalog of the prices in force, or of the first of the runs that made one; None where there is none."""
    if not any(store.path("model_catalog", None, run).exists() for run in (*made_by, None)):
        return None
    return catalog_from_table(store.read("model_catalog", None, *made_by))


def new_catalog(
    store: Store, source: str | None, models: Sequence[str] = (), *, confirmed: bool
) -> ModelCatalog | None:
    """The catalog at ``source``, of the named ``models`` where there are any; None where costs come from the label
    table. See ``read_catalog``.

    Raises:
        InvalidInput: it cannot be read, lacks a model, or its prices look like another unit and are not confirmed.
    """
    if source == IN_FORCE:
        return catalog_in_force(store)
    catalog = read_catalog(source, models)
    if catalog is not None and not confirmed:
        refuse_doubtful_prices(catalog, catalog_in_force(store))
    return catalog


def would_simulate(store: Store, made_by: Sequence[str], *, labels_are_simulated: bool) -> bool:
    """Whether simulated prices that the runs made would replace real ones.

    Args:
        labels_are_simulated: those that the router in force learnt from; their own costs, without a catalog, are too.
    """
    if prices_in_force(store)[0] is None:
        return False
    made, before = catalog_in_force(store, made_by), catalog_in_force(store)
    is_real = not labels_are_simulated if before is None else not is_simulated(before)
    return is_real and made is not None and is_simulated(made)
