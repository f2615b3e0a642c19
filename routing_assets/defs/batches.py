"""Stage 4, per batch: the instructions, what each model would probably achieve on them, and what it would cost."""

import json

import dagster as dg
import numpy as np
import pyarrow as pa

from routing_assets.barred import set_barred_aside
from routing_assets.champion import candidate
from routing_assets.datasets import BatchInstructions, load_batch
from routing_assets.datasets.set_aside import count_set_aside
from routing_assets.defs.common import ARROW_TABLE, OWNERS, batches, data_version, failure, markdown_table
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.requests import RoutingRequest
from routing_assets.errors import InvalidInput
from routing_assets.intake import latest_revision
from routing_assets.ledger import refuse_ended, router_in_force
from routing_assets.matrices import about, matrix
from routing_assets.scoring import STEPS, price_batch, score_batch
from routing_assets.sources import catalog_from_table

GROUP = "batches"


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, partitions_def=batches, code_version="3")
def batch_instructions(
    context: dg.AssetExecutionContext, home: RoutingHome, routing_request: RoutingRequest, model_catalog: pa.Table
) -> dg.MaterializeResult:
    """The instructions of one batch that can be routed; the other records of its file are set aside with the reason."""
    settings, catalog = routing_request.settings(), catalog_from_table(model_catalog)
    try:
        refuse_ended(home.paths(), context.partition_key)
        received = latest_revision(home.paths(), context.partition_key)
        models = tuple(candidate(home.paths(), router_in_force(home.paths())["router_version"])["models"])
        batch = load_batch(received.path, strict=settings.strict)
        batch = set_barred_aside(batch, models, catalog, settings)
    except InvalidInput as error:
        raise failure(error) from error
    table = batch.to_arrow()
    for reason, places in batch.set_aside.items():
        context.log.warning(f"{len(places)} records are set aside: {reason}")
    aside = [{"records": len(places), "reason": reason} for reason, places in batch.set_aside.items()]
    return dg.MaterializeResult(
        value=table.replace_schema_metadata({**(table.schema.metadata or {}), b"file_sha256": received.file_sha256}),
        data_version=data_version(table) if aside else dg.DataVersion(received.file_sha256),
        metadata={
            "file_sha256": received.file_sha256,
            "revision": received.revision,
            "instructions": len(batch),
            "set_aside": count_set_aside(batch.set_aside),
            **({"reasons": markdown_table(aside)} if aside else {}),
            **batch.beyond_text,
        },
    )


PROBABILITIES_ARE_VALID = dg.AssetCheckSpec(
    "probabilities_are_valid", asset="probability_matrix", blocking=True, description="Finite and within [0, 1]."
)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"torch", "parquet"},
    partitions_def=batches,
    deps=["router_release"],
    check_specs=[PROBABILITIES_ARE_VALID],
    dagster_type=ARROW_TABLE,
    code_version="1",
)
def probability_matrix(
    context: dg.AssetExecutionContext, home: RoutingHome, batch_instructions: pa.Table
) -> dg.MaterializeResult:
    """P(success) for every instruction and model: raw, temperature-scaled, calibrated, and as used for decisions."""
    from routing_assets.champion import load_champion

    batch = BatchInstructions.from_arrow(batch_instructions)
    try:
        champion = load_champion(home.paths())
    except InvalidInput as error:
        raise failure(error) from error
    table = score_batch(batch, champion.router, champion.version)
    columns = {step: matrix(table, step, champion.router.models) for step in STEPS}
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
            "mean_best_probability": float(columns["decision"].max(axis=1).mean()),
            "mean_probability": markdown_table(means),
        },
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, partitions_def=batches, code_version="3")
def cost_matrix(
    context: dg.AssetExecutionContext, batch_instructions: pa.Table, cost_model: pa.Table
) -> dg.MaterializeResult:
    """The estimated USD of every call, by the prices in force."""
    batch = BatchInstructions.from_arrow(batch_instructions)
    table = price_batch(batch, cost_model)
    totals = matrix(table, "cost", json.loads(about(table)["models"])).sum(axis=0)
    if doubt := about(table)["doubt"]:
        context.log.warning(doubt)
    return dg.MaterializeResult(
        value=table,
        data_version=data_version(table),
        metadata={
            "price_version": about(table)["price_version"],
            "cost_of_everything_on_the_dearest_usd": float(totals.max()),
            "cost_of_everything_on_the_cheapest_usd": float(totals.min()),
            **({"doubt": doubt} if doubt else {}),
        },
    )
