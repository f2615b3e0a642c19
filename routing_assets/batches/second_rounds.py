"""Questions to the ledger about second rounds, and their entries in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from routing_assets.foundation.errors import InvalidInput
from routing_assets.storage.journal import append
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

SECOND = "second"
"""The folder of the second calls within the outbox folder of a batch."""


@dataclass(frozen=True, eq=False)
class SecondCalls:
    """The calls of a second round.

    Attributes:
        model: by instruction, the model that was asked after the answer of the first one.
        calls: ``instruction_id, model, expected_success, cost, first_cost`` of these instructions, in batch order.
        since: when it was decided, in seconds since 1970.
    """

    model: dict[str, str] = field(default_factory=dict)
    calls: pa.Table | None = None
    since: float = math.inf

    def in_place_of(self, routed: pa.Table) -> pa.Table:
        """The routed rows, with the second call in place of the first where there was one."""
        if self.calls is None:
            return routed
        names = routed.column_names
        first = routed.set_column(names.index("model"), "model", routed["model"].cast(pa.string()))
        rows = {name: row for row, name in enumerate(self.calls["instruction_id"].to_pylist())}
        place = [rows.get(name, -1) for name in routed["instruction_id"].to_pylist()]
        both = pa.concat_tables([first, self.calls.select(names).cast(first.schema)])
        at = np.where(np.array(place) < 0, np.arange(len(place)), len(place) + np.array(place))
        return both.take(pa.array(at))


NO_SECOND_CALLS = SecondCalls()


def second_calls(store: Store, second_round: Mapping[str, Any] | None) -> SecondCalls:
    """The calls of a second round; none where there was none."""
    if second_round is None:
        return NO_SECOND_CALLS
    table = store.at(second_round["routed_path"]).read()
    asked = table.filter(table["escalated"])
    asked = asked.set_column(asked.column_names.index("model"), "model", asked["model"].cast(pa.string()))
    calls = asked.select(["instruction_id", "model", "expected_success", "cost", "first_cost"])
    model = dict(zip(calls["instruction_id"].to_pylist(), calls["model"].to_pylist(), strict=True))
    return SecondCalls(model, calls, second_round["decided_at"].timestamp())


def first_round_of(warehouse: Warehouse, batch_id: str) -> dict[str, Any]:
    """What the decision in force plans to look at. Raises InvalidInput where it plans one call, or where its second
    round was decided.
    """
    planned = warehouse.fetch("first_round_of", {"batch_id": batch_id})
    if not planned:
        raise InvalidInput(
            f"the decision on batch '{batch_id}' plans no second looks",
            remedy="Set second_look in the policy before the batch is routed.",
        )
    if second_round_of(warehouse, batch_id):
        raise InvalidInput(f"the second round of batch '{batch_id}' is decided; there is never a third")
    return planned[0]


def second_round_of(warehouse: Warehouse, batch_id: str) -> dict[str, Any] | None:
    """The second round of the decision in force; None while there is none."""
    found = warehouse.fetch("second_round_of", {"batch_id": batch_id})
    return found[0] if found else None


def record_second_round(
    connection: duckdb.DuckDBPyConnection,
    batch_id: str,
    run_id: str,
    summary: Mapping[str, Any],
    path: str,
    sha256: str,
) -> None:
    """Append a second round to its ledger, by the summary of its table; a run that is retried decides once."""
    decided = "select 1 from second_rounds where first_run_id = $first_run_id"
    if connection.execute(decided, {"first_run_id": summary["first_run_id"]}).fetchall():
        return
    same = ("first_run_id", "second_look_version", "answered", "escalated", "status")
    reals = ("expected_success", "upper_bound", "gap", "shadow_price")
    row = {
        "batch_id": batch_id,
        "dagster_run_id": run_id,
        **{name: summary[name] for name in same},
        **{name: float(summary[name]) for name in reals},
        "budget": float(summary["budget_usd"]),
        "spent": float(summary["spent_usd"]),
        "total_cost": float(summary["cost_usd"]),
        "routed_path": path,
        "routed_sha256": sha256,
    }
    append(connection, "second_rounds", pa.Table.from_pylist([row]))
