"""The calls that a batch's margin is calibrated on: labelled rows that tested the router in force, priced as the batch.

They are stored with the router. The cost model in force learnt only from the training rows of the same splits.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq

from routing_assets.datasets import BatchInstructions, LabelledInstructions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import HasSchema, about
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.cost_matrix import cost_estimate, price_batch
from routing_assets.pricing.held_out_spend import MOST_INSTRUCTIONS, HeldOutCalls
from routing_assets.pricing.recorded_costs import recorded_costs
from routing_assets.routers.compare import predictions
from routing_assets.routers.shelf import JUDGED_BY, LEARNT_FROM, Shelf
from routing_assets.routers.texts_learnt import learnt_rows
from routing_assets.storage.in_force import candidate, price_list
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse


def held_out_calls(
    warehouse: Warehouse,
    store: Store,
    shelf: Shelf,
    probabilities: HasSchema,
    costs: HasSchema,
    catalog: ModelCatalog | None,
    seed: int = 0,
) -> HeldOutCalls | None:
    """Held-out calls of the router and the prices of a batch's matrices; None where none of them has a recorded cost.

    Rows come from the router itself or, where it was recalibrated by outcomes without costs, from the one before it.
    """
    version, models = about(probabilities)["router_version"], tuple(json.loads(about(probabilities)["models"]))
    prices = price_list(store, about(costs)["price_version"])
    found = _rows_with_costs(warehouse, shelf, version, models, catalog)
    if prices is None or found is None:
        return None
    rows, cost = found
    known = np.isfinite(cost).any(axis=1)
    if (shelf.folder / version / LEARNT_FROM).exists():
        known &= ~learnt_rows(rows, pq.read_table(shelf.folder / version / LEARNT_FROM))
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(known))[:MOST_INSTRUCTIONS]
    if not drawn.size:
        return None
    rows, cost = rows.take(drawn), cost[drawn]
    as_batch = BatchInstructions(rows.instruction_id, rows.instruction, task=rows.task)
    estimate = cost_estimate(price_batch(as_batch, prices), models)
    return HeldOutCalls(models, predictions(shelf, version, rows), estimate, cost, as_batch.tokens)


def _rows_with_costs(
    warehouse: Warehouse, shelf: Shelf, version: str, models: tuple[str, ...], catalog: ModelCatalog | None
) -> tuple[LabelledInstructions, np.ndarray] | None:
    """Held-out rows of a router, or of those it came from, and their recorded costs (N, K), NaN where unknown."""
    known_as: str | None = version
    while known_as is not None:
        path = shelf.folder / known_as / JUDGED_BY
        rows = LabelledInstructions.from_arrow(pq.read_table(path)) if path.exists() else None
        if rows is not None and set(models) <= set(rows.models):
            rows = rows.of_models(models)
            cost = _recorded(rows, catalog)
            if np.isfinite(cost).any():
                return rows, cost
        known_as = candidate(warehouse, known_as)["parent"]
    return None


def _recorded(rows: LabelledInstructions, catalog: ModelCatalog | None) -> np.ndarray:
    try:
        costs = recorded_costs(rows, catalog)
    except InvalidInput:  # a model that was added has no cost among them
        return np.full(rows.success.shape, np.nan) if rows.cost is None else rows.cost
    return np.where(costs.recorded, costs.cost, np.nan)
