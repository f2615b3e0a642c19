"""Questions to the ledger about batches: what is waiting, what is stale, what went out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from routing_assets.datasets.outcomes import Realised
from routing_assets.errors import InvalidInput
from routing_assets.handoff import MANIFEST
from routing_assets.journal import GENESIS, append
from routing_assets.prices_in_force import prices_in_force
from routing_assets.routing import settings_of_request, standing_policy
from routing_assets.settings import Home
from routing_assets.sql import query
from routing_assets.warehouse import Warehouse

REALS = ("budget", "expected_success", "total_cost", "upper_bound", "gap", "shadow_price")
"""Columns of a decision that the ledger keeps as double; what is hashed has the same type as what is read back."""


@dataclass(frozen=True)
class StaleBatch:
    """A batch that is not dispatched and whose decision is missing or no longer what would be decided today."""

    batch_id: str
    request: dict[str, Any]
    reasons: tuple[str, ...]
    fingerprint: str
    """What a new decision would be based on; the same fingerprint is asked for only once."""
    refused: str | None = None
    """Why the very same could not be routed; None where that was not tried."""


def router_in_force(home: Home) -> dict[str, Any]:
    """The ledger's entry of the router that serves batches. Raises InvalidInput when none was trained yet."""
    rows = Warehouse(home.warehouse).fetch("latest_router")
    if not rows:
        raise InvalidInput("no router was trained yet", source=str(home.root), remedy="Run routing-assets train first.")
    return rows[0]


def end_of_batch(home: Home, batch_id: str) -> str | None:
    """How the batch ended: ``dispatched`` to the LLM runners, or ``withdrawn`` before that; None for an open one."""
    ends = Warehouse(home.warehouse).fetch("end_of_batch", {"batch_id": batch_id})
    return ends[0]["ended"] if ends else None


def refuse_ended(home: Home, batch_id: str, remedy: str = "") -> None:
    """Raise InvalidInput for a batch that was dispatched or withdrawn: it is frozen."""
    if ended := end_of_batch(home, batch_id):
        raise InvalidInput(f"batch '{batch_id}' is {ended} and frozen", remedy=remedy)


def refuse_retired(home: Home, batch_id: str) -> None:
    """Raise InvalidInput for a batch whose data was deleted."""
    retired = Warehouse(home.warehouse).fetch("retirement_of", {"batch_id": batch_id})
    if retired:
        raise InvalidInput(
            f"batch '{batch_id}' was retired on {retired[0]['retired_at']:%Y-%m-%d}: {retired[0]['why']}"
        )


def decision_in_force(home: Home, batch_id: str) -> dict[str, Any]:
    """The ledger's entry for a batch. Raises InvalidInput when it was never routed, or withdrawn."""
    decisions = Warehouse(home.warehouse).fetch("current_decision", {"batch_id": batch_id})
    if not decisions and end_of_batch(home, batch_id) == "withdrawn":
        raise InvalidInput(f"batch '{batch_id}' is withdrawn: no decision on it is in force")
    if not decisions:
        raise InvalidInput(f"batch '{batch_id}' is not routed", remedy="Route it first.")
    return decisions[0]


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
    connection: duckdb.DuckDBPyConnection, batch_id: str, run_id: str, routed: pa.Table, instructions: pa.Table
) -> None:
    """Append what a decision gave to each model and tenant."""
    given = by_model_and_tenant(routed, instructions).aggregate(
        [("cost", "count"), ("cost", "sum"), ("expected_success", "sum")]
    )
    names = {"cost_count": "instructions", "cost_sum": "estimated_usd", "expected_success_sum": "expected_successes"}
    connection.register("rows", _of_run(given, names, batch_id, run_id))
    connection.execute(query("insert_traffic"))
    connection.unregister("rows")


def record_realised_traffic(
    connection: duckdb.DuckDBPyConnection, batch_id: str, run_id: str, matched: pa.Table, instructions: pa.Table
) -> None:
    """Append what came of each model's and tenant's instructions, from ``match_outcomes``."""
    came = by_model_and_tenant(matched, instructions).aggregate(
        [("success", "count"), ("success", "sum"), ("billed_usd", "count"), ("billed_usd", "sum")]
    )
    names = {
        "success_count": "judged",
        "success_sum": "successes",
        "billed_usd_count": "billed",
        "billed_usd_sum": "billed_usd",
    }
    rows = _of_run(came, names, batch_id, run_id)
    for name in ("successes", "billed_usd"):
        rows = rows.set_column(rows.column_names.index(name), name, pc.fill_null(rows[name], 0.0))
    connection.append("realised_traffic", rows.to_pandas(), by_name=True)


def by_model_and_tenant(table: pa.Table, instructions: pa.Table) -> pa.TableGroupBy:
    """Rows per instruction, grouped by model and by the batch's group column; both tables are in batch order."""
    nobody = pa.array(["-"] * table.num_rows)
    tenant = pc.fill_null(instructions["group"], "-") if "group" in instructions.column_names else nobody
    return table.append_column("tenant", tenant).group_by(["model", "tenant"])


def _of_run(table: pa.Table, names: Mapping[str, str], batch_id: str, run_id: str) -> pa.Table:
    renamed = table.rename_columns([names.get(name, name) for name in table.column_names])
    model = renamed["model"]
    if pa.types.is_dictionary(model.type):
        renamed = renamed.set_column(renamed.column_names.index("model"), "model", model.cast(pa.string()))
    for name, value in (("batch_id", batch_id), ("dagster_run_id", run_id)):
        renamed = renamed.append_column(name, pa.array([value] * renamed.num_rows, pa.string()))
    return renamed


def record_outcomes(
    connection: duckdb.DuckDBPyConnection, decision: Mapping[str, Any], result: Realised, *, run_id: str
) -> None:
    """Append what came of a decision so far, and freeze its batch: it went out."""
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
    }
    connection.append("outcomes", pa.Table.from_pylist([row]).to_pandas(), by_name=True)
    if not connection.execute(query("end_of_batch"), {"batch_id": batch_id}).fetchall():
        dispatch = {"batch_id": batch_id, "dagster_run_id": decision["dagster_run_id"]}
        append(connection, "dispatches", pa.Table.from_pylist([dispatch]))


def routed_before(home: Home, batch_id: str) -> pa.Table | None:
    """The routed table of the decision in force; None for a batch that was never routed."""
    decisions = Warehouse(home.warehouse).fetch("current_decision", {"batch_id": batch_id})
    return routed_by(home, decisions[0]) if decisions else None


def routed_by(home: Home, decision: Mapping[str, Any]) -> pa.Table:
    """The routed table of a decision, as the ledger names it."""
    return pq.read_table(home.store / decision["routed_path"], partitioning=None)


def _handed_run(folder: Path, decided_run: str | None) -> str | None:
    """The run whose files lie in the outbox; the decided one where the runners took the folder away; none where the
    manifest is absent or damaged, so that the batch is handed off again.
    """
    if not folder.exists():
        return decided_run
    manifest = folder / MANIFEST
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))["dagster_run_id"] if manifest.exists() else None
    except (ValueError, KeyError, TypeError):
        return None


def stale_batches(home: Home) -> list[StaleBatch]:
    """Batches to be routed (again): never decided, or file, router, prices or settings changed since.

    So is one whose hand-off was interrupted: its outbox holds no manifest, or that of a run without a decision. Those
    that share a month's money, which may not have sufficed, are asked for again in the next month and whenever a batch
    was withdrawn.
    """
    standing = standing_policy(home.policy_file)
    price_version, _ = prices_in_force(home)
    stale = []
    for row in Warehouse(home.warehouse).fetch("open_batches"):
        request = json.loads(row["request"]) if row["request"] else {}
        settings = settings_of_request(request, standing, source=f"the request of batch {row['batch_id']}")
        now = {
            "file": (row["decided_file"], row["file_sha256"]),
            "router": (row["decided_router"], row["router_version"]),
            "prices": (row["decided_prices"], price_version),
            "policy": (row["decided_settings"], settings.version),
            "hand-off": (_handed_run(home.outbox / row["batch_id"], row["decided_run"]), row["decided_run"]),
        }
        reasons = tuple(name for name, (decided, current) in now.items() if decided != current)
        if reasons and row["router_version"] is not None:
            # With the entry, for after a roll-back the same state is asked for a second time.
            fingerprint = "/".join(str(current)[:16] for _, current in now.values()) + f"#{row['decided_entry'] or 0}"
            if settings.period is not None:
                fingerprint += f"/{datetime.now(UTC):%Y-%m}/{row['last_withdrawal'] or 0}"
            refused = row["refused_why"] if row["refused_fingerprint"] == fingerprint else None
            stale.append(StaleBatch(row["batch_id"], request, reasons, fingerprint, refused))
    return stale
