"""Stage 4, per batch: the instructions, and the success probability and cost of each model on them."""

from collections.abc import Callable
from functools import partial

import dagster as dg
import pyarrow as pa

from routing_assets.allocation import InfeasibleAllocation
from routing_assets.batches.affordability import refuse_unaffordable
from routing_assets.batches.instructions import keep_instructions
from routing_assets.batches.known import latest_revision, refuse_ended
from routing_assets.batches.matrices import (
    derive_table,
    price_part,
    router_kept_in,
    score_part,
    sum_costs,
    sum_requests,
    sum_scores,
)
from routing_assets.batches.money import release_commitments, undecided_runs
from routing_assets.batches.shared_texts import embed_shared_texts
from routing_assets.dagster_instance.runs import runs_of
from routing_assets.datasets.set_aside import count_set_aside
from routing_assets.defs.batches.refusals import refused
from routing_assets.defs.batches.requests import RoutingRequest
from routing_assets.defs.common import ARROW_TABLE, OWNERS, batches, data_version, failure, markdown_table, shown
from routing_assets.defs.engine import BatchEngine
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import about
from routing_assets.pricing.catalog_table import catalog_from_table
from routing_assets.storage.blocks import rows_of
from routing_assets.storage.draft import Draft
from routing_assets.storage.in_force import candidate, router_in_force
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable

GROUP = "batches"


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    partitions_def=batches,
    dagster_type=ARROW_TABLE,
    code_version="3",
)
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
        draft = new_version(context, paths.store, received.file_sha256)
        batch = keep_instructions(received.path, received.file_sha256, models, catalog, settings, draft)
    except InvalidInput as error:
        raise failure(error) from error
    version = data_version(batch.table) if batch.set_aside or settings.layout else dg.DataVersion(received.file_sha256)
    for reason, places in batch.set_aside.items():
        context.log.warning(f"{len(places)} records are set aside: {reason}")
    aside = [{"records": len(places), "reason": reason} for reason, places in batch.set_aside.items()]
    return dg.MaterializeResult(
        value=batch.table,
        data_version=version,
        metadata={
            "file_sha256": received.file_sha256,
            "revision": received.revision,
            "instructions": rows_of(batch.table),
            "set_aside": count_set_aside(batch.set_aside),
            **({"reasons": markdown_table(aside)} if aside else {}),
            **batch.beyond_text,
        },
    )


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
    context: dg.AssetExecutionContext, home: RoutingHome, engine: BatchEngine, batch_instructions: PartitionedTable
) -> dg.MaterializeResult:
    """P(success) for every instruction and model: raw, temperature-scaled, calibrated, and as used for decisions."""
    paths, work = home.paths(), engine.engine()
    try:
        version = router_in_force(paths.warehouse)["router_version"]
    except InvalidInput as error:
        raise failure(error) from error
    directory, embeddings = paths.shelf.folder / version, paths.shelf.embeddings
    router = router_kept_in(directory, embeddings)
    if doubt := router.precision_remark:
        context.log.warning(doubt)
    draft = new_version(context, paths.store, f"{batch_instructions.data_version} {version}")
    embed_shared_texts(work, batch_instructions, directory, embeddings)
    table = derive_table(work, score_part, batch_instructions.parts, draft, directory, embeddings)
    by_rates, sums = router.decision == "rate", sum_scores(work, table)
    return dg.MaterializeResult(
        value=table,
        data_version=data_version(table),
        check_results=[
            dg.AssetCheckResult(
                check_name=PROBABILITIES_ARE_VALID.name, passed=sums.valid, metadata={"pairs": sums.rows}
            )
        ],
        metadata={
            "router_version": version,
            "precision": router.precision,
            **({"routed_by": f"each model's success rate alone, for {router.why}"} if by_rates else {}),
            "mean_best_probability": shown(sums.best / sums.rows),
            "mean_probability": markdown_table(sums.means(router.models)),
        },
    )


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    partitions_def=batches,
    dagster_type=ARROW_TABLE,
    code_version="4",
)
def cost_matrix(
    context: dg.AssetExecutionContext,
    home: RoutingHome,
    engine: BatchEngine,
    routing_request: RoutingRequest,
    batch_instructions: PartitionedTable,
    cost_model: pa.Table,
    model_catalog: pa.Table,
) -> dg.MaterializeResult:
    """The estimated USD of every call, by the prices in force. A batch that the budget cannot pay for is refused here,
    before anything is scored.
    """
    paths, work, batch_id = home.paths(), engine.engine(), context.partition_key
    requests = sum_requests(work, batch_instructions.parts)
    prices = cost_model["price_version"][0].as_py()
    draft = new_version(context, paths.store, f"{batch_instructions.data_version} {prices}")
    table = derive_table(work, price_part, batch_instructions.parts, draft, cost_model, requests)
    release_ended(context.instance, home)
    catalog, settings = catalog_from_table(model_catalog), routing_request.settings()
    try:
        refuse_unaffordable(work, paths.warehouse, batch_id, batch_instructions, table, catalog, settings)
    except InfeasibleAllocation as error:
        raise refused(context, home, error) from error
    except InvalidInput as error:
        raise failure(error) from error
    totals = sum_costs(work, table)
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


def new_version(
    context: dg.AssetExecutionContext, store: Store, work: str, *, asset: str | None = None
) -> Callable[[pa.Schema], Draft]:
    """Where this run writes its version of an asset in parts; parts written by a run that it resumes are taken over.

    Args:
        work: a name for everything that the rows depend on.
        asset: where the step makes several.
    """
    runs = runs_of(context.instance, context.run)
    return partial(_draft, store, asset or context.asset_key.path[-1], context.partition_key, runs, work)


def _draft(store: Store, asset: str, batch_id: str, runs: list[str], work: str, schema: pa.Schema) -> Draft:
    return store.draft(asset, batch_id, runs[0], schema, work=work, resumed=runs[1:])


def release_ended(instance: dg.DagsterInstance, home: RoutingHome) -> None:
    """Release the money that was reserved by runs that ended without a decision."""
    paths = home.paths()
    release_commitments(paths.warehouse, ended_undecided(instance, undecided_runs(paths.warehouse)))


def ended_undecided(instance: dg.DagsterInstance, runs: list[str]) -> list[str]:
    """The undecided runs that ended, or that were deleted from Dagster."""
    known = instance.get_runs(dg.RunsFilter(run_ids=runs)) if runs else []
    under_way = {run.run_id for run in known if not run.is_finished}
    return [run for run in runs if run not in under_way]
