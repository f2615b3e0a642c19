"""Questions to the ledger about batches: what is waiting, what is stale, what went out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from routing_assets.foundation.long_table import HasSchema
from routing_assets.foundation.sql import query
from routing_assets.storage.blocks import AnyTable, blocks
from routing_assets.storage.journal import GENESIS, append, insert_rows

if TYPE_CHECKING:
    from routing_assets.monitoring.realised import Realised

REALS = ("budget", "expected_success", "total_cost", "upper_bound", "gap", "shadow_price")
"""Columns of a decision that the ledger keeps as double, so that it is hashed with the type it is read back with."""


def record_decision(connection: duckdb.DuckDBPyConnection, decision: Mapping[str, Any]) -> None:
    """Append a decision to the ledger, chained to the entry before it; a run that is retried decides once."""
    decided = "select 1 from decisions where batch_id = $batch_id and dagster_run_id = $dagster_run_id"
    if connection.execute(decided, {name: decision[name] for name in ("batch_id", "dagster_run_id")}).fetchall():
        return
    last = connection.execute("select entry, entry_hash from decisions order by entry desc limit 1").fetchall()
    entry, previous_hash = (last[0][0] + 1, last[0][1]) if last else (1, GENESIS)
    reals = {name: float(decision[name]) for name in REALS}
    row = {**decision, **reals, "decided_at": datetime.now(UTC), "entry": entry, "previous_hash": previous_hash}
    row["entry_hash"] = entry_hash(row)
    append(connection, "decisions", pa.Table.from_pylist([row]))


def entry_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 over every column of a decision but the hash itself, in the order of their names."""
    content = {name: value for name, value in row.items() if name != "entry_hash"}
    content["decided_at"] = content["decided_at"].astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_as_recorded(row: Mapping[str, Any]) -> bool:
    """Whether a decision still has the hash it was recorded with.

    A budget of whole dollars was once hashed as an integer, and such entries stay valid.
    """
    hashes = {entry_hash(row)}
    if float(row["budget"]).is_integer():
        hashes.add(entry_hash({**row, "budget": int(row["budget"])}))
    return row["entry_hash"] in hashes


def record_traffic(
    connection: duckdb.DuckDBPyConnection, batch_id: str, run_id: str, routed: AnyTable, instructions: AnyTable
) -> None:
    """Append what a decision gave to each model and tenant."""
    given = by_model_and_tenant(routed, instructions, [("cost", "count"), ("cost", "sum"), ("expected_success", "sum")])
    names = {"cost_count": "instructions", "cost_sum": "estimated_usd", "expected_success_sum": "expected_successes"}
    connection.register("rows", _of_run(given, names, batch_id, run_id))
    connection.execute(query("insert_traffic"))
    connection.unregister("rows")


def record_realised_traffic(
    connection: duckdb.DuckDBPyConnection, batch_id: str, run_id: str, matched: AnyTable, instructions: AnyTable
) -> None:
    """Append the outcomes of each model and tenant, from ``match_outcomes``."""
    came = by_model_and_tenant(
        matched,
        instructions,
        [("success", "count"), ("success", "sum"), ("billed_usd", "count"), ("billed_usd", "sum")],
    )
    names = {
        "success_count": "judged",
        "success_sum": "successes",
        "billed_usd_count": "billed",
        "billed_usd_sum": "billed_usd",
    }
    rows = _of_run(came, names, batch_id, run_id)
    for name in ("successes", "billed_usd"):
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].fill_null(0.0))
    insert_rows(connection, "realised_traffic", rows)


def by_model_and_tenant(table: AnyTable, instructions: AnyTable, figures: Sequence[tuple[str, str]]) -> pa.Table:
    """Counts and sums of columns by model and by the batch's group column, block by block, as ``<column>_<figure>``.

    Args:
        table: a row per instruction, in batch order, as ``instructions`` are.
        figures: (column, ``count`` or ``sum``).
    """
    columns = list(dict.fromkeys(name for name, _ in figures))
    tenants = tenants_in(instructions)
    parts = []
    for block, beside in zip(blocks(table, ["model", *columns]), blocks(instructions, tenants), strict=True):
        nobody = pa.array(["-"] * block.num_rows, pa.string())
        tenant = beside["group"].fill_null("-") if tenants == ["group"] else nobody
        named = block.set_column(0, "model", block["model"].cast(pa.string())).append_column("tenant", tenant)
        parts.append(named.group_by(["model", "tenant"]).aggregate(list(figures)))
    names = [f"{name}_{figure}" for name, figure in figures]
    summed = pa.concat_tables(parts).group_by(["model", "tenant"]).aggregate([(name, "sum") for name in names])
    return summed.rename_columns(
        [name.removesuffix("_sum") if name[:-4] in names else name for name in summed.column_names]
    )


def tenants_in(instructions: HasSchema) -> list[str]:
    """The column of a batch that names tenants; its ids where there is none."""
    return ["group"] if "group" in instructions.schema.names else ["instruction_id"]


def _of_run(table: pa.Table, names: Mapping[str, str], batch_id: str, run_id: str) -> pa.Table:
    renamed = table.rename_columns([names.get(name, name) for name in table.column_names])
    for name, value in (("batch_id", batch_id), ("dagster_run_id", run_id)):
        renamed = renamed.append_column(name, pa.array([value] * renamed.num_rows, pa.string()))
    return renamed


def record_first_round(
    connection: duckdb.DuckDBPyConnection, batch_id: str, run_id: str, looks: Mapping[str, Any], routed: AnyTable
) -> None:
    """Append what a decision plans to look at, by its summary and its table."""
    first, second = (
        math.fsum(value for block in blocks(routed, [name]) for value in block[name].to_pylist())
        for name in ("cost", "second_cost")
    )
    row = {
        "batch_id": batch_id,
        "dagster_run_id": run_id,
        "second_look_version": looks["version"],
        "looked_at": looks["looked_at"],
        "first_usd": first,
        "second_usd": second,
        "wait_hours": looks["wait_hours"],
    }
    connection.append("first_rounds", pa.Table.from_pylist([row]).to_pandas(), by_name=True)


def record_outcomes(
    connection: duckdb.DuckDBPyConnection,
    decision: Mapping[str, Any],
    result: Realised,
    *,
    run_id: str,
    unseen: int | None = None,
) -> None:
    """Append the outcomes of a decision so far, and freeze its batch.

    Args:
        unseen: answers to be looked at that did not come yet; None where none is looked at.
    """
    batch_id = decision["batch_id"]
    row = {
        "batch_id": batch_id,
        "decision_run_id": decision["dagster_run_id"],
        "router_version": decision["router_version"],
        "judged": result.judged,
        "missing": result.instructions - result.judged,
        "billed": result.billed,
        "predicted_success": result.predicted_success if result.judged else None,
        "realised_success": result.realised_success if result.judged else None,
        "estimated_usd": result.estimated_usd,
        "realised_usd": result.realised_usd,
        "dagster_run_id": run_id,
        "unseen": unseen,
    }
    insert_rows(connection, "outcomes", pa.Table.from_pylist([row]))
    if not connection.execute(query("end_of_batch"), {"batch_id": batch_id}).fetchall():
        dispatch = {"batch_id": batch_id, "dagster_run_id": decision["dagster_run_id"]}
        append(connection, "dispatches", pa.Table.from_pylist([dispatch]))


def record_grading(connection: duckdb.DuckDBPyConnection, grading: Mapping[str, Any], *, run_id: str) -> None:
    """Append by which grader the answers to a batch were graded."""
    insert_rows(connection, "gradings", pa.Table.from_pylist([{**grading, "dagster_run_id": run_id}]))
