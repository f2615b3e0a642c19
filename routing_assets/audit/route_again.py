"""Repeat a past decision from its recorded inputs: in memory, or in the parts in which it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from routing_assets.batches.instructions import keep_instructions
from routing_assets.batches.matrices import (
    PART_ROWS,
    derive_table,
    price_part,
    router_kept_in,
    score_batch,
    score_part,
    sum_requests,
)
from routing_assets.batches.policy import RoutingSettings, settings_from
from routing_assets.batches.priced_batch import PricedBatch
from routing_assets.batches.route import SECOND_LOOK, SET_ASIDE, of_file, route_batch, set_barred_aside, summary_of
from routing_assets.batches.route_parts import route_priced
from routing_assets.datasets import load_batch
from routing_assets.engine import LocalEngine
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import HasSchema
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_from_rows
from routing_assets.pricing.cost_matrix import BEYOND_TEXT, REQUESTS_COUNTED, price_batch
from routing_assets.routers.second_look import kept_second_look
from routing_assets.routers.shelf import Shelf
from routing_assets.storage.draft import Draft
from routing_assets.storage.in_force import price_list
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable

if TYPE_CHECKING:
    from routing_assets.prediction.second_look import KeptSecondLook


@dataclass(frozen=True, eq=False)
class PastInputs:
    """The inputs of a past decision."""

    file: Path
    """The batch file as it was received."""
    file_sha256: str
    router: Path
    """Folder of the router."""
    embeddings: Path
    cost_model: pa.Table
    catalog: ModelCatalog | None
    settings: RoutingSettings
    policy: str
    previous: pa.Table | None
    """The routed table before it, where the settings limit how many assignments may change."""
    summary: Mapping[str, Any]
    """The summary that was stored with the decision."""
    second_look: KeptSecondLook | None = None
    """Where the decision planned to look at answers."""

    @property
    def by_length(self) -> bool:
        """Whether tokens of requests were counted by their length alone."""
        return REQUESTS_COUNTED not in self.summary


def inputs_of(
    store: Store,
    file: Path,
    shelf: Shelf,
    decision: Mapping[str, Any],
    recorded: HasSchema,
    before: Mapping[str, Any] | None,
) -> PastInputs:
    """The inputs of a decision.

    Args:
        file: the batch file as it was received.
        decision: its entry in the ledger.
        recorded: its routed table.
        before: the batch's entry before it.

    Raises:
        InvalidInput: the price list is gone.
    """
    summary = summary_of(recorded)
    cost_model = price_list(store, decision["price_version"])
    if cost_model is None:
        raise InvalidInput(f"price list {decision['price_version']} is gone")
    settings = settings_from(summary["settings"], source=f"the ledger's settings of batch {decision['batch_id']}")
    second_look = None
    if "version" in summary.get(SECOND_LOOK, {}):
        second_look = kept_second_look(shelf, summary[SECOND_LOOK]["version"])
    return PastInputs(
        file,
        decision["file_sha256"],
        shelf.folder / decision["router_version"],
        shelf.embeddings,
        cost_model,
        catalog_from_rows(summary["catalog"]),
        settings,
        decision["policy"],
        store.at(before["routed_path"]).read() if settings.limits_churn and before else None,
        summary,
        second_look,
    )


def route_again(past: PastInputs, scratch: Path) -> str:
    """Repeat the decision; return the path of its ``routed_batch`` in the store at ``scratch``."""
    store = Store(scratch)
    routed = _in_parts(past, store) if PART_ROWS in past.summary else _in_memory(past)
    if isinstance(routed, PartitionedTable):
        return store.adopt(routed, "routed_batch", None, "replay", {"file_sha256": past.file_sha256}).folder
    return str(store.write(of_file(routed, past.file_sha256), "routed_batch", None, "replay"))


def _in_memory(past: PastInputs) -> pa.Table:
    batch = load_batch(past.file, layout=past.settings.layout, by_length=past.by_length)
    router = router_kept_in(past.router, past.embeddings)
    texts_alone = bool(batch.beyond_text) and not past.summary.keys() & {BEYOND_TEXT, SET_ASIDE}
    rules = router.models, past.catalog, past.settings
    routable = batch.texts_alone() if texts_alone else set_barred_aside(batch, *rules)
    return route_batch(
        routable,
        score_batch(routable, router, past.router.name),
        price_batch(routable, past.cost_model, texts_alone=texts_alone),
        past.catalog,
        past.summary["budget_usd"],
        past.settings,
        past.policy,
        previous=past.previous,
        recorded=past.summary,
        second_look=past.second_look,
    ).table


def _in_parts(past: PastInputs, store: Store) -> pa.Table | PartitionedTable:
    engine, rows = LocalEngine(), past.summary[PART_ROWS]
    models = router_kept_in(past.router, past.embeddings).models
    draft = partial(_draft, store, "batch_instructions")
    kept = keep_instructions(
        past.file,
        past.file_sha256,
        models,
        past.catalog,
        past.settings,
        draft,
        part_rows=rows,
        by_length=past.by_length,
    ).table
    if not isinstance(kept, PartitionedTable):
        raise InvalidInput(f"the decision was made in parts of {rows} instructions, but the batch file has fewer")
    scores = derive_table(
        engine, score_part, kept.parts, partial(_draft, store, "scores"), past.router, past.embeddings
    )
    requests = sum_requests(engine, kept.parts)
    costs = derive_table(engine, price_part, kept.parts, partial(_draft, store, "costs"), past.cost_model, requests)
    if not isinstance(scores, PartitionedTable) or not isinstance(costs, PartitionedTable):
        raise InvalidInput(f"the decision was made in parts of {rows} instructions, but the batch file has fewer")
    route = route_priced(
        engine,
        PricedBatch(kept, scores, costs),
        past.catalog,
        past.summary["budget_usd"],
        past.settings,
        partial(_draft, store),
        previous=past.previous,
        recorded=past.summary,
        second_look=past.second_look,
    )
    return route(past.policy).table


def _draft(store: Store, asset: str, schema: pa.Schema) -> Draft:
    return store.draft(asset, None, "replay", schema)
