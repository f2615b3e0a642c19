"""Stage 5, per batch: an allocation by each policy, side by side under the same budget."""

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from routing_assets.allocation import DEFAULT_POLICY, POLICIES, InfeasibleAllocation
from routing_assets.allocation.solver.exact import exact_sum, within
from routing_assets.batches.frontier import around_budget, draw_frontier, whole_frontier
from routing_assets.batches.known import routed_before
from routing_assets.batches.money import commit_budget
from routing_assets.batches.route import (
    RoutedBatch,
    batch_problem,
    no_allocation,
    refuse_unknown_limits,
    route_batch,
    set_barred_aside,
    summary_of,
)
from routing_assets.datasets import BatchInstructions
from routing_assets.defs.batches.refusals import refused
from routing_assets.defs.batches.requests import RoutingRequest
from routing_assets.defs.batches.scores import release_ended
from routing_assets.defs.common import (
    ARROW_TABLE,
    OWNERS,
    batches,
    data_version,
    inline_png,
    markdown_table,
    shown,
    shown_figures,
)
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog_table import catalog_from_table
from routing_assets.pricing.cost_matrix import ASSUMED_OF_CALL

GROUP = "allocations"

# Of the long tables only what the allocation reads: for a million instructions the ids alone take seconds.
PRICED_PROBABILITIES = {
    "probability_matrix": dg.AssetIn(metadata={"columns": ["decision"]}),
    "cost_matrix": dg.AssetIn(metadata={"columns": ["cost", "cost_std", ASSUMED_OF_CALL]}),
}


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb"},
    partitions_def=batches,
    ins=PRICED_PROBABILITIES,
    code_version="2",
)
def batch_budget(
    context: dg.AssetExecutionContext,
    home: RoutingHome,
    routing_request: RoutingRequest,
    batch_instructions: pa.Table,
    probability_matrix: pa.Table,
    cost_matrix: pa.Table,
    model_catalog: pa.Table,
) -> dg.MaterializeResult:
    """The USD that the batch may spend: its own budget, or its share of the month's; never more than that has left.

    Money reserved by runs that ended without a decision is released first.
    """
    batch, catalog = BatchInstructions.from_arrow(batch_instructions), catalog_from_table(model_catalog)
    settings = routing_request.settings()
    release_ended(context.instance, home)
    try:
        refuse_unknown_limits(batch, probability_matrix, catalog, settings)
        problem = batch_problem(batch, probability_matrix, cost_matrix, catalog, math.inf, settings)
        # Those that were barred when the batch was read are set aside; catalog or router may have changed since.
        set_barred_aside(batch, tuple(problem.models or ()), catalog, replace(settings, strict=True))
        budget = commit_budget(home.paths().warehouse, context.partition_key, context.run_id, problem, settings)
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
    return (
        dg.AssetCheckSpec("every_instruction_is_assigned_once", asset=asset, blocking=blocking, partitions_def=batches),
        dg.AssetCheckSpec("spend_is_within_budget", asset=asset, blocking=blocking, partitions_def=batches),
    )


CHECKS = {policy: checks_of(policy) for policy in POLICIES}


@dg.multi_asset(
    outs={
        name_of(policy.name): dg.AssetOut(
            description=policy.method,
            group_name=GROUP,
            owners=OWNERS,
            kinds={policy.library, "parquet"},
            dagster_type=ARROW_TABLE,
            code_version="1",
            is_required=False,
        )
        for policy in POLICIES.values()
    },
    ins=PRICED_PROBABILITIES,
    check_specs=[check for checks in CHECKS.values() for check in checks],
    partitions_def=batches,
    can_subset=True,
)
def allocations(
    context: dg.AssetExecutionContext,
    home: RoutingHome,
    routing_request: RoutingRequest,
    batch_instructions: pa.Table,
    probability_matrix: pa.Table,
    cost_matrix: pa.Table,
    batch_budget: pa.Table,
    model_catalog: pa.Table,
) -> Iterator[dg.MaterializeResult]:
    """The assets ``<policy>_allocation``: instruction_id, model, expected success and estimated cost."""
    paths = home.paths()
    settings, budget = routing_request.settings(), batch_budget["budget_usd"][0].as_py()
    catalog, held_out = catalog_from_table(model_catalog), None
    if settings.confidence is not None:
        from routing_assets.routers.held_out_calls import held_out_calls

        held_out = held_out_calls(paths.warehouse, paths.store, paths.shelf, probability_matrix, cost_matrix, catalog)
    route = partial(
        route_batch,
        BatchInstructions.from_arrow(batch_instructions),
        probability_matrix,
        cost_matrix,
        catalog,
        budget,
        settings,
        held_out=held_out,
        previous=routed_before(paths.warehouse, paths.store, context.partition_key) if settings.limits_churn else None,
    )
    for policy in POLICIES:
        if dg.AssetKey(name_of(policy)) not in context.selected_asset_keys:
            continue
        try:
            table, pictures = with_frontier(route(policy))
        except InfeasibleAllocation as error:
            if policy == settings.policy:
                raise refused(context, home, error) from error
            table, pictures = no_allocation(policy, budget, str(error)), {}
        except InvalidInput as error:
            raise refused(context, home, error) from error
        assigned_once, within_budget = CHECKS[policy]
        yield dg.MaterializeResult(
            asset_key=name_of(policy),
            value=table,
            data_version=data_version(table),
            metadata={**allocation_metadata(table), **pictures},
            check_results=[
                is_assigned_once(assigned_once, table, batch_instructions),
                is_within_budget(within_budget, table),
            ],
        )


def is_assigned_once(spec: dg.AssetCheckSpec, table: pa.Table, batch_instructions: pa.Table) -> dg.AssetCheckResult:
    """Each instruction of the batch is in the table exactly once, with a model."""
    same = table["instruction_id"].equals(batch_instructions["instruction_id"])
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=same and table["model"].null_count == 0,
        severity=dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN,
        metadata={"instructions": len(batch_instructions), "assigned": table.num_rows - table["model"].null_count},
    )


def is_within_budget(spec: dg.AssetCheckSpec, table: pa.Table) -> dg.AssetCheckResult:
    """The sum of the costs, without rounding, is at most the budget."""
    budget = summary_of(table)["budget_usd"]
    cost = exact_sum(table["cost"].to_numpy())
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=within(cost, budget),
        severity=dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN,
        metadata={"cost_usd": shown(cost), "budget_usd": shown(budget)},
    )


def with_frontier(routed: RoutedBatch) -> tuple[pa.Table, dict[str, Any]]:
    """The table. For the MIP, which alone is on the frontier, the metadata shows what more or less money would buy."""
    allocation = routed.allocation
    if allocation.policy != "mip":
        return routed.table, {}
    curve = whole_frontier(allocation.problem)
    picture = draw_frontier(allocation, curve) if curve else None
    return routed.table, {
        "what_other_budgets_buy": markdown_table(around_budget(allocation, curve)),
        **({"frontier": inline_png(picture)} if picture else {}),
    }


def allocation_metadata(table: pa.Table) -> dict[str, Any]:
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
    grouped = table.group_by("model").aggregate([("cost", "sum"), ("expected_success", "mean"), ("cost", "count")])
    traffic = [
        {
            "model": row["model"],
            "instructions": row["cost_count"],
            "expected_success": row["expected_success_mean"],
            "cost_usd": row["cost_sum"],
        }
        for row in sorted(grouped.to_pylist(), key=lambda row: -row["cost_count"])
    ]
    return {
        **{name: shown(summary[name]) for name in numbers},
        **{name: summary[name] for name in ("status", "router_version", "price_version", "settings_version")},
        "binding": ", ".join(summary["binding"]) or "nothing",
        **({"notes": dg.MetadataValue.json(summary["notes"])} if summary["notes"] else {}),
        "traffic": markdown_table(traffic),
    }
