"""What a reader of a batch's page has to be warned of, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing_assets.allocation import POLICIES
from routing_assets.batches.route import SECOND_LOOK, summary_of
from routing_assets.datasets.batch import set_aside_of
from routing_assets.datasets.set_aside import MOST_REASONS
from routing_assets.foundation.long_table import HasSchema, about
from routing_assets.foundation.pages import percent
from routing_assets.pricing.catalog_table import catalog_from_rows
from routing_assets.routers.label_sources import is_simulated
from routing_assets.storage.parquet_store import Store

LIKELY = 0.05
"""A probability of spending more than the budget from which a reader is warned."""
WIDE_GAP = 0.01


def warnings_of(
    store: Store,
    decision: Mapping[str, Any],
    summary: Mapping[str, Any],
    instructions: HasSchema,
    costs: HasSchema,
    *,
    simulated: bool,
) -> list[str]:
    """Everything that makes the figures of a decision less sure than they look.

    Args:
        simulated: the router learnt from simulated labels.
    """
    catalog = catalog_from_rows(summary["catalog"])
    said = []
    if simulated:
        said.append("The router learnt from simulated labels: the expected success says nothing about real models.")
    if catalog is not None and is_simulated(catalog):
        said.append("The prices are those of a simulated benchmark: the costs are no real money.")
    aside = set_aside_of(instructions)
    said += [
        f"{len(places)} records of the file were set aside and are not routed: {reason}"
        for reason, places in list(aside.items())[:MOST_REASONS]
    ]
    if doubt := about(costs).get("doubt"):
        said.append(f"The costs are in doubt: {doubt}")
    if summary["overspend_probability"] > LIKELY:
        said.append(
            "The budget holds for estimated costs. The true spend exceeds it with a probability of "
            f"{percent(summary['overspend_probability'])}; a confidence in the policy holds money back for that."
        )
    if summary["gap"] > WIDE_GAP:
        said.append(f"Another assignment could be better by up to {percent(summary['gap'])}.")
    if not_kept := summary["notes"].get("not_kept"):
        said.append(f"These limits are not kept: {', '.join(not_kept)}.")
    if reason := summary.get(SECOND_LOOK, {}).get("not_planned"):
        said.append(f"Second looks were asked for and are not planned: {reason}")
    return said + _without_allocation(store, decision)


def _without_allocation(store: Store, decision: Mapping[str, Any]) -> list[str]:
    """The policies that have no assignment for the batch, and why."""
    of_decision = decision["batch_id"], decision["dagster_run_id"]
    made = {policy: f"{policy}_allocation" for policy in POLICIES if store.exists(f"{policy}_allocation", *of_decision)}
    summaries = {policy: summary_of(store.parts(asset, *of_decision)) for policy, asset in made.items()}
    return [
        f"The policy {policy} has no assignment for this batch: {summary['notes']['reason']}"
        for policy, summary in summaries.items()
        if summary["status"] == "infeasible"
    ]
