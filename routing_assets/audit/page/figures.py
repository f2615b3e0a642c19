"""The figures of a batch's page, from the ledger and the tables of its decision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.allocation import Frontier
from routing_assets.audit.page.remarks import warnings_of
from routing_assets.audit.page.words import headline, of_one_call, what_binds, what_money_does
from routing_assets.batches.frontier import Place, around, whole_frontier
from routing_assets.batches.known import decision_in_force, refuse_retired
from routing_assets.batches.policy import settings_from
from routing_assets.batches.priced_batch import PricedBatch, frontier_of_batch, whole_for
from routing_assets.batches.route import SECOND_LOOK, summary_of
from routing_assets.batches.routed_table import spend_of, traffic_of
from routing_assets.batches.second_rounds import second_round_of
from routing_assets.engine import Engine
from routing_assets.foundation.attached import in_memory
from routing_assets.foundation.names import printable
from routing_assets.monitoring.realised import Realised, compare
from routing_assets.pricing.catalog_table import catalog_from_rows
from routing_assets.routers.release import learnt_from_simulated
from routing_assets.storage.blocks import AnyTable, blocks
from routing_assets.storage.in_force import candidate
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.warehouse import Warehouse

Rows = list[dict[str, Any]]
MOST_DOUBTFUL = 10
LONGEST_TEXT = 240
"""Characters of an instruction on the page."""
OF_DOUBTFUL = ("instruction_id", "model", "expected_success", "cost", "runner_up", "switching_price")
OF_REALISED = ("expected_success", "cost", "success", "billed_usd")


@dataclass(frozen=True, eq=False)
class BatchPage:
    """What the page of a batch says."""

    batch_id: str
    decision: Mapping[str, Any]
    """The entry in the ledger."""
    summary: Mapping[str, Any]
    """Of the routed table."""
    spend_usd: float
    """The sum of the routed table's costs, with the second calls that are expected."""
    headline: str
    traffic: Rows
    """By model: instructions, mean expected success, USD."""
    budgets: Rows
    """What multiples of the budget would buy; empty where the budget has no limit, or without a ``curve``."""
    money: str
    """What 10 % more or less money does."""
    place: Place
    curve: Frontier | None
    """None under constraints that tie instructions together: each budget is then a problem of its own."""
    alone: Rows
    """Everything with one model: its USD and mean expected success."""
    binding: Sequence[str]
    doubtful: Rows
    calibration: Rows
    """By model: calibration error of the probabilities that decided, on test labels."""
    buckets: Rows
    second_look: Mapping[str, Any] | None
    second_round: Mapping[str, Any] | None
    warnings: Sequence[str]
    realised: Realised | None


def batch_page(
    warehouse: Warehouse, store: Store, engine: Engine, batch_id: str, runs: Sequence[str] = ()
) -> BatchPage:
    """The figures of the decision in force on a batch, and of its outcomes so far.

    Args:
        runs: the run that decided and the failed runs that it resumed, newest first; one of them scored the batch.

    Raises:
        InvalidInput: the batch is not routed, or its data was deleted.
    """
    with warehouse.reader():  # one opening of the file for all of them
        refuse_retired(warehouse, batch_id)
        decision = decision_in_force(warehouse, batch_id)
        router = {"router_version": decision["router_version"]}
        calibration, buckets = (warehouse.fetch(of, router) for of in ("quality_of_models", "buckets_of_router"))
        second_round = second_round_of(warehouse, batch_id)
        simulated = learnt_from_simulated(warehouse, candidate(warehouse, decision["router_version"]))
    routed, runs = store.at(decision["routed_path"]), runs or [decision["dagster_run_id"]]
    instructions, probabilities, costs = (
        store.parts(name, batch_id, *runs) for name in ("batch_instructions", "probability_matrix", "cost_matrix")
    )
    summary = summary_of(routed)
    batch = PricedBatch(instructions, probabilities, costs)
    place, curve, budgets = _frontier(engine, batch, summary)
    return BatchPage(
        batch_id=batch_id,
        decision=decision,
        summary=summary,
        spend_usd=float(spend_of(routed)),
        headline=headline(summary),
        traffic=traffic_of(routed),
        budgets=budgets,
        money=what_money_does(budgets, summary),
        place=place,
        curve=curve,
        alone=_alone(batch.models, place),
        binding=what_binds(summary),
        doubtful=_doubtful(routed, instructions),
        calibration=calibration,
        buckets=buckets,
        second_look=summary.get(SECOND_LOOK),
        second_round=second_round,
        warnings=warnings_of(store, decision, summary, instructions, costs, simulated=simulated),
        realised=_realised(store, batch_id),
    )


def _frontier(
    engine: Engine, batch: PricedBatch, summary: Mapping[str, Any]
) -> tuple[Place, Frontier | None, list[dict[str, float]]]:
    """Where the batch stands, the frontier of one call per instruction, and points of it around the budget."""
    settings = settings_from(summary["settings"], source="the routed batch")
    catalog, budget = catalog_from_rows(summary["catalog"]), summary["allocated_usd"]
    curve: Frontier | None
    if batch.in_parts and not whole_for(batch, catalog, settings):
        curve, *single = frontier_of_batch(engine, batch, catalog, settings)
    else:
        problem = batch.held().problem(catalog, settings)
        curve = whole_frontier(problem)
        single = [problem.cost_matrix.sum(axis=0, dtype=np.float64), problem.success.mean(axis=0)]
    place = Place(budget, summary["cost_usd"], summary["expected_success"], *single)
    own = of_one_call(summary)
    return place, curve, [] if curve is None else _with_own(around(budget, own, curve.at), own)


def _alone(models: Sequence[str], place: Place) -> Rows:
    """Everything with one model, cheapest first; a model that may not get every instruction is left out."""
    each = zip(models, place.cost_of_models.tolist(), place.success_of_models.tolist(), strict=True)
    rows = [{"model": model, "cost_usd": usd, "expected_success": success} for model, usd, success in each]
    return sorted((row for row in rows if math.isfinite(row["cost_usd"])), key=lambda row: row["cost_usd"])


def _with_own(budgets: Rows, own: float) -> Rows:
    """The points, where this batch's own assignment may be better than one read off the frontier's breakpoints."""
    return [
        row if row["budget"] < 1 or row["expected_success"] >= own else {**row, "expected_success": own, "gain": 0.0}
        for row in budgets
    ]


def _doubtful(routed: AnyTable, instructions: PartitionedTable) -> Rows:
    """The assignments with the smallest switching price, with the beginning of their texts."""
    order = [("switching_price", "ascending"), ("instruction_id", "ascending")]
    names = pa.schema([(name, pa.string()) for name in ("model", "runner_up")])
    found = []
    for block in blocks(routed, OF_DOUBTFUL):
        rows = block.filter(pc.is_valid(block["runner_up"]))
        for name in names.names:
            rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(pa.string()))
        found.append(rows.take(pc.select_k_unstable(rows, k=min(MOST_DOUBTFUL, rows.num_rows), sort_keys=order)))
    if not found:
        return []
    rows = pa.concat_tables(found).sort_by(order).slice(0, MOST_DOUBTFUL).to_pylist()
    texts = _texts(instructions, [row["instruction_id"] for row in rows])
    return [{**row, "instruction": texts.get(row["instruction_id"], "")} for row in rows]


def _texts(instructions: PartitionedTable, ids: Sequence[str]) -> dict[str, str]:
    """The beginnings of some instructions, on one line."""
    if not ids:
        return {}
    name, text = (duckdb.ColumnExpression(column) for column in ("instruction_id", "instruction"))
    with in_memory() as connection:
        wanted = name.isin(*map(duckdb.ConstantExpression, ids))
        rows = instructions.relation(connection).filter(wanted).select(name, text).fetchall()
    return {of: _shortened(said) for of, said in rows}


def _shortened(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}…"


def _realised(store: Store, batch_id: str) -> Realised | None:
    """The outcomes of a batch against its predictions; None while none came."""
    if not store.exists("batch_outcomes", batch_id):
        return None
    compared = compare(store.read("batch_outcomes", batch_id, columns=OF_REALISED))
    return compared if compared.judged or compared.billed else None
