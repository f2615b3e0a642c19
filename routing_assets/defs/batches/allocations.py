"""Stage 5, per batch: an allocation by each policy, side by side under the same budget."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from routing_assets.allocation import DEFAULT_POLICY, POLICIES, Allocation, InfeasibleAllocation
from routing_assets.allocation.solver.exact import within
from routing_assets.batches.frontier import around, around_budget, whole_frontier
from routing_assets.batches.known import routed_before
from routing_assets.batches.policy import RoutingSettings
from routing_assets.batches.priced_batch import PricedBatch, commit_budget_of, frontier_of_batch
from routing_assets.batches.route import SECOND_LOOK, no_allocation, summary_of
from routing_assets.batches.route_parts import Routed, route_priced
from routing_assets.batches.routed_table import count_assigned, spend_of, traffic_of
from routing_assets.defs.batches.refusals import refused
from routing_assets.defs.batches.requests import RoutingRequest
from routing_assets.defs.batches.scores import new_version, release_ended
from routing_assets.defs.common import (
    ARROW_TABLE,
    OWNERS,
    batches,
    checks_of_assignment,
    data_version,
    markdown_table,
    shown,
    shown_figures,
)
from routing_assets.defs.engine import BatchEngine
from routing_assets.defs.home import RoutingHome
from routing_assets.engine import Engine
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import about
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_from_table
from routing_assets.storage.blocks import AnyTable
from routing_assets.storage.draft import Draft
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable

GROUP = "batches"
FIGURES = """
`expected_success`: mean probability of success. `shadow_price`: expected successes per extra USD. `gap`: share of the
expected successes that a better allocation could gain at most. `overspend_probability`: that the true spend exceeds the
budget. `binding`: the constraints without which more could be gained.
"""
"""What the metadata of an allocation mean."""
OTHER_BUDGETS = """
Look at `what_other_budgets_buy` first: the same batch for less or more money. `gain` is in expected success, `per USD`
in expected successes per extra USD at that budget.
"""


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb"},
    partitions_def=batches,
    code_version="2",
)
def batch_budget(
    context: dg.AssetExecutionContext,
    home: RoutingHome,
    engine: BatchEngine,
    routing_request: RoutingRequest,
    batch_instructions: PartitionedTable,
    probability_matrix: PartitionedTable,
    cost_matrix: PartitionedTable,
    model_catalog: pa.Table,
) -> dg.MaterializeResult:
    """The USD that the batch may spend: its own budget, or its share of the month's; never more than that has left.

    Money reserved by runs that ended without a decision is released first.
    """
    batch = PricedBatch(batch_instructions, probability_matrix, cost_matrix)
    warehouse, catalog = home.paths().warehouse, catalog_from_table(model_catalog)
    settings = routing_request.settings()
    release_ended(context.instance, home)
    try:
        budget = commit_budget_of(
            engine.engine(), warehouse, context.partition_key, context.run_id, batch, catalog, settings
        )
    except (InvalidInput, InfeasibleAllocation) as error:
        raise refused(context, home, error) from error
    table = pa.Table.from_pylist([asdict(budget)])
    return dg.MaterializeResult(value=table, data_version=data_version(table), metadata=shown_figures(asdict(budget)))


def name_of(policy: str) -> str:
    """The asset that holds the allocation of a policy."""
    return f"{policy}_allocation"


def checks_of(policy: str) -> tuple[dg.AssetCheckSpec, dg.AssetCheckSpec]:
    """The checks of each allocation."""
    # The others are mostly there for comparison, and may have no allocation; the routed batch's own checks block.
    asset, blocking = name_of(policy), policy == DEFAULT_POLICY
    return checks_of_assignment(asset, blocking=blocking)


CHECKS = {policy: checks_of(policy) for policy in POLICIES}


@dg.multi_asset(
    outs={
        name_of(policy.name): dg.AssetOut(
            description=policy.method + (OTHER_BUDGETS if policy.name == DEFAULT_POLICY else "\n") + FIGURES,
            group_name=GROUP,
            owners=OWNERS,
            kinds={policy.library, "parquet"},
            dagster_type=ARROW_TABLE,
            code_version="1",
            is_required=False,
        )
        for policy in POLICIES.values()
    },
    check_specs=[check for checks in CHECKS.values() for check in checks],
    partitions_def=batches,
    can_subset=True,
)
def allocations(
    context: dg.AssetExecutionContext,
    home: RoutingHome,
    engine: BatchEngine,
    routing_request: RoutingRequest,
    batch_instructions: PartitionedTable,
    probability_matrix: PartitionedTable,
    cost_matrix: PartitionedTable,
    batch_budget: pa.Table,
    model_catalog: pa.Table,
) -> Iterator[dg.MaterializeResult]:
    """The assets ``<policy>_allocation``: instruction_id, model, expected success and estimated cost."""
    paths, work = home.paths(), engine.engine()
    batch = PricedBatch(batch_instructions, probability_matrix, cost_matrix)
    settings, budget = routing_request.settings(), batch_budget["budget_usd"][0].as_py()
    catalog, held_out = catalog_from_table(model_catalog), None
    if settings.confidence is not None:
        from routing_assets.routers.held_out_calls import held_out_calls

        held_out = held_out_calls(paths.warehouse, paths.store, paths.shelf, probability_matrix, cost_matrix, catalog)
    look = None
    if settings.second_look is not None:
        from routing_assets.routers.second_look import second_look_of_router

        look = second_look_of_router(paths.warehouse, paths.shelf, about(probability_matrix)["router_version"])
    decided_on = f"{probability_matrix.data_version} {cost_matrix.data_version} {budget} {settings.version}"
    route = route_priced(
        work,
        batch,
        catalog,
        budget,
        settings,
        partial(draft_of_run, context, paths.store, decided_on),
        held_out=held_out,
        second_look=look,
        previous=routed_before(paths.warehouse, paths.store, context.partition_key) if settings.limits_churn else None,
    )
    for policy in POLICIES:
        if dg.AssetKey(name_of(policy)) not in context.selected_asset_keys:
            continue
        try:
            routed = route(policy)
            table, other_budgets = routed.table, frontier_metadata(work, batch, routed, catalog, settings)
        except InfeasibleAllocation as error:
            if policy == settings.policy:
                raise refused(context, home, error) from error
            table, other_budgets = no_allocation(policy, budget, str(error)), {}
        except InvalidInput as error:
            raise refused(context, home, error) from error
        assigned_once, within_budget = CHECKS[policy]
        yield dg.MaterializeResult(
            asset_key=name_of(policy),
            value=table,
            data_version=data_version(table),
            metadata={**other_budgets, **allocation_metadata(table)},
            check_results=[
                is_assigned_once(assigned_once, table, batch_instructions),
                is_within_budget(within_budget, table),
            ],
        )


def draft_of_run(
    context: dg.AssetExecutionContext, store: Store, decided_on: str, policy: str, schema: pa.Schema
) -> Draft:
    """Where this run writes the allocation of a policy, of a batch in parts."""
    draft = new_version(context, store, f"{decided_on} {policy}", asset=name_of(policy))
    return draft(schema)


def is_assigned_once(spec: dg.AssetCheckSpec, table: AnyTable, batch_instructions: AnyTable) -> dg.AssetCheckResult:
    """Each instruction of the batch is in the table exactly once, with a model."""
    found = count_assigned(table, batch_instructions)
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=found.is_complete,
        severity=dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN,
        metadata={"instructions": found.instructions, "assigned": found.assigned},
    )


def is_within_budget(spec: dg.AssetCheckSpec, table: AnyTable) -> dg.AssetCheckResult:
    """The sum of the costs, without rounding, is at most the budget."""
    budget, cost = summary_of(table)["budget_usd"], spend_of(table)
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=within(cost, budget),
        severity=dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN,
        metadata={"cost_usd": shown(cost), "budget_usd": shown(budget)},
    )


def frontier_metadata(
    engine: Engine,
    batch: PricedBatch,
    routed: Routed,
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
) -> dict[str, Any]:
    """What more or less money would buy, for the MIP: the other policies are not on the frontier. The page draws it."""
    allocation = routed.allocation
    if allocation.policy != DEFAULT_POLICY:
        return {}
    if isinstance(allocation, Allocation):
        rows = around_budget(allocation, whole_frontier(allocation.problem))
    else:
        curve, *_ = frontier_of_batch(engine, batch, catalog, settings)
        rows = around(allocation.budget, allocation.expected_success, curve.at)
    shown_rows = [
        {
            "budget": f"{row['budget']:.0%}",
            "USD": row["budget_usd"],
            "success": row["expected_success"],
            "gain": row["gain"],
            "per USD": row["expected_successes_per_usd"],
        }
        for row in rows
    ]
    return {"what_other_budgets_buy": markdown_table(shown_rows)}


def allocation_metadata(table: AnyTable) -> dict[str, Any]:
    """Numbers that plot over time, and the traffic of each model."""
    summary = summary_of(table)
    numbers = (
        "budget_usd",
        "cost_usd",
        "overspend_probability",
        "expected_success",
        "upper_bound",
        "gap",
        "shadow_price",
    )
    return {
        **{name: shown(summary[name]) for name in numbers},
        **{name: summary[name] for name in ("status", "router_version", "price_version", "settings_version")},
        "binding": ", ".join(summary["binding"]) or "nothing",
        **({SECOND_LOOK: dg.MetadataValue.json(summary[SECOND_LOOK])} if SECOND_LOOK in summary else {}),
        **({"notes": dg.MetadataValue.json(summary["notes"])} if summary["notes"] else {}),
        "traffic": markdown_table(traffic_of(table)),
    }
