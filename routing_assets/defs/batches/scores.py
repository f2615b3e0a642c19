"""Stage 4, per batch: the instructions, what each model would probably achieve on them, and what it would cost."""

import json

import dagster as dg
import numpy as np
import pyarrow as pa

from routing_assets.allocation import InfeasibleAllocation
from routing_assets.batches.affordability import refuse_unaffordable
from routing_assets.batches.known import latest_revision, refuse_ended
from routing_assets.batches.matrices import STEPS, score_batch
from routing_assets.batches.money import release_commitments, undecided_runs
from routing_assets.batches.route import set_barred_aside
from routing_assets.datasets import BatchInstructions, load_batch
from routing_assets.datasets.set_aside import count_set_aside
from routing_assets.defs.batches.refusals import refused
from routing_assets.defs.batches.requests import RoutingRequest
from routing_assets.defs.common import ARROW_TABLE, OWNERS, batches, data_version, failure, markdown_table, shown
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import about, matrix
from routing_assets.pricing.catalog_table import catalog_from_table
from routing_assets.pricing.cost_matrix import price_batch
from routing_assets.storage.draft import write_table
from routing_assets.storage.in_force import candidate, router_in_force
from routing_assets.storage.partitioned import PART_ROWS, PartitionedTable

GROUP = "batches"


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, partitions_def=batches, code_version="3")
def batch_instructions(
    context: dg.AssetExecutionContext, home: RoutingHome, routing_request: RoutingRequest, model_catalog: pa.Table
) -> dg.MaterializeResult:
    """The instructions of one batch that can be routed; the other records of its file are set aside with the reason."""
    paths = home.paths()
    settings, catalog = routing_request.settings(), catalog_from_table(model_catalog)
    try:
        refuse_ended(paths.warehouse, context.partition_key)
        received = latest_revision(paths.warehouse, paths.folders, context.partition_key)
        models = tuple(candidate(paths.warehouse, router_in_force(paths.warehouse)["router_version"])["models"])
        batch = load_batch(received.path, strict=settings.strict)
        batch = set_barred_aside(batch, models, catalog, settings)
    except InvalidInput as error:
        raise failure(error) from error
    table = batch.to_arrow()
    version = data_version(table) if batch.set_aside else dg.DataVersion(received.file_sha256)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"file_sha256": received.file_sha256})
    for reason, places in batch.set_aside.items():
        context.log.warning(f"{len(places)} records are set aside: {reason}")
    aside = [{"records": len(places), "reason": reason} for reason, places in batch.set_aside.items()]
    return dg.MaterializeResult(
        value=in_parts(context, home, table) if len(batch) > PART_ROWS else table,
        data_version=version,
        metadata={
            "file_sha256": received.file_sha256,
            "revision": received.revision,
            "instructions": len(batch),
            "set_aside": count_set_aside(batch.set_aside),
            **({"reasons": markdown_table(aside)} if aside else {}),
            **batch.beyond_text,
        },
    )


def in_parts(context: dg.AssetExecutionContext, home: RoutingHome, table: pa.Table) -> PartitionedTable:
    """The instructions as a table in parts, so that whoever takes it by reference reads one part at a time."""
    draft = home.paths().store.draft("batch_instructions", context.partition_key, context.run_id, table.schema)
    return write_table(draft, [table], part_rows=PART_ROWS)


PROBABILITIES_ARE_VALID = dg.AssetCheckSpec(
    "probabilities_are_valid",
    asset="probability_matrix",
    blocking=True,
    description="Finite and within [0, 1].",
    partitions_def=batches,
)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"torch", "parquet"},
    partitions_def=batches,
    deps=["router_release", "cost_matrix"],  # what cannot be paid for is not scored
    check_specs=[PROBABILITIES_ARE_VALID],
    dagster_type=ARROW_TABLE,
    code_version="1",
)
def probability_matrix(
    context: dg.AssetExecutionContext, home: RoutingHome, batch_instructions: pa.Table
) -> dg.MaterializeResult:
    """P(success) for every instruction and model: raw, temperature-scaled, calibrated, and as used for decisions."""
    paths = home.paths()
    from routing_assets.routers.release import load_champion

    batch = BatchInstructions.from_arrow(batch_instructions)
    try:
        champion = load_champion(paths.warehouse, paths.shelf)
    except InvalidInput as error:
        raise failure(error) from error
    if doubt := champion.router.precision_remark:
        context.log.warning(doubt)
    table = score_batch(batch, champion.router, champion.version)
    columns = {step: matrix(table, step, champion.router.models) for step in STEPS}
    by_rates = champion.router.decision == "rate"
    valid = all(np.isfinite(p).all() and (p >= 0).all() and (p <= 1).all() for p in columns.values())
    means = [
        {"model": model, **{step: float(p[:, k].mean()) for step, p in columns.items()}}
        for k, model in enumerate(champion.router.models)
    ]
    return dg.MaterializeResult(
        value=table,
        data_version=data_version(table),
        check_results=[
            dg.AssetCheckResult(check_name=PROBABILITIES_ARE_VALID.name, passed=valid, metadata={"pairs": len(batch)})
        ],
        metadata={
            "router_version": champion.version,
            "precision": champion.router.precision,
            **({"routed_by": f"each model's success rate alone, for {champion.router.why}"} if by_rates else {}),
            "mean_best_probability": shown(columns["decision"].max(axis=1).mean()),
            "mean_probability": markdown_table(means),
        },
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, partitions_def=batches, code_version="3")
def cost_matrix(
    context: dg.AssetExecutionContext,
    home: RoutingHome,
    routing_request: RoutingRequest,
    batch_instructions: pa.Table,
    cost_model: pa.Table,
    model_catalog: pa.Table,
) -> dg.MaterializeResult:
    """The estimated USD of every call, by the prices in force. A batch that the money cannot pay for is refused here,
    before anything is scored.
    """
    batch = BatchInstructions.from_arrow(batch_instructions)
    table = price_batch(batch, cost_model)
    release_ended(context.instance, home)
    catalog, settings = catalog_from_table(model_catalog), routing_request.settings()
    try:
        refuse_unaffordable(home.paths().warehouse, context.partition_key, batch, table, catalog, settings)
    except InfeasibleAllocation as error:
        raise refused(context, home, error) from error
    except InvalidInput as error:
        raise failure(error) from error
    totals = matrix(table, "cost", json.loads(about(table)["models"])).sum(axis=0)
    if doubt := about(table)["doubt"]:
        context.log.warning(doubt)
    return dg.MaterializeResult(
        value=table,
        data_version=data_version(table),
        metadata={
            "price_version": about(table)["price_version"],
            "cost_of_everything_on_the_dearest_usd": shown(totals.max()),
            "cost_of_everything_on_the_cheapest_usd": shown(totals.min()),
            **({"doubt": doubt} if doubt else {}),
        },
    )


def release_ended(instance: dg.DagsterInstance, home: RoutingHome) -> None:
    """Release the money that was reserved by runs that ended without a decision."""
    paths = home.paths()
    release_commitments(paths.warehouse, ended_undecided(instance, undecided_runs(paths.warehouse)))


def ended_undecided(instance: dg.DagsterInstance, runs: list[str]) -> list[str]:
    """The undecided runs that ended, or that were deleted from Dagster."""
    known = instance.get_runs(dg.RunsFilter(run_ids=runs)) if runs else []
    under_way = {run.run_id for run in known if not run.is_finished}
    return [run for run in runs if run not in under_way]
