"""What changed when a batch was routed again: which assignments moved, what was gained, and why it was routed again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.batches.route import summary_of
from routing_assets.foundation.long_table import about, matrix
from routing_assets.foundation.sql import query
from routing_assets.storage.blocks import AnyTable, blocks, in_blocks, view
from routing_assets.storage.parts import BATCH_ROWS

NEW, GONE = "(new instruction)", "(no longer in the batch)"
_CAUSES = {"router_version": "router", "price_version": "prices", "settings_version": "policy"}


@dataclass(frozen=True)
class Rerouting:
    """A decision compared with the one before it.

    Both are valued by today's estimates, those of the new decision: the difference is the effect of the changed
    assignments, without that of changed estimates. It is taken over the instructions of both decisions whose former
    model the router still knows.
    """

    reasons: tuple[str, ...]
    """What differs between the decisions: ``file``, ``router``, ``prices``, ``policy``."""
    kept: int
    moves: tuple[tuple[str, str, int], ...]
    """(from, to, count), the most frequent first; new and vanished instructions are named so."""
    cost_change_usd: float
    success_change: float
    """Expected successes gained."""

    @property
    def moved(self) -> int:
        """Instructions that got another model."""
        return sum(count for before, _, count in self.moves if before not in (NEW, GONE))

    def row(self) -> dict[str, Any]:
        """One row for the warehouse."""
        return {
            "reasons": list(self.reasons),
            "kept": self.kept,
            "moved": self.moved,
            "moves": json.dumps([{"from": a, "to": b, "count": n} for a, b, n in self.moves]),
            "cost_change_usd": self.cost_change_usd,
            "success_change": self.success_change,
        }


def compare_decisions(
    before: AnyTable, after: AnyTable, probabilities: AnyTable, costs: AnyTable, spill: Path
) -> Rerouting:
    """Compare a routed table with the one before it, block by block.

    Args:
        before, after: routed tables, each with its summary and the hash of its batch file.
        probabilities, costs: the wide or long tables that ``after`` was decided on, in its order; more models may be
            priced than are known.
        spill: a folder for what does not fit into memory meanwhile.
    """
    known, priced = (json.loads(about(table)["models"]) for table in (probabilities, costs))
    pairs: Counter[tuple[str, str]] = Counter()
    success_change = cost_change = 0.0
    decided = zip(
        _former_models(before, after, spill),
        _matrices(probabilities, "decision", known),
        _matrices(costs, "cost", priced),
        strict=True,
    )
    for models, success, cost in decided:
        pairs.update(_counted(models))
        now, then = (
            pc.fill_null(pc.index_in(models[name], pa.array(known)), -1).to_numpy() for name in ("model", "former")
        )
        row = np.flatnonzero(then >= 0)
        success_change += _gain(success, row, now, then)
        cost_change += _gain(cost[:, [priced.index(model) for model in known]], row, now, then)
    new = sum(n for (a, _), n in pairs.items() if a == NEW)
    gone = sum(block.num_rows for block in blocks(before, ["instruction_id"])) - (pairs.total() - new)
    moves = [(a, b, n) for (a, b), n in pairs.most_common() if a != b]
    return Rerouting(
        _reasons(before, after),
        sum(n for (a, b), n in pairs.items() if a == b),
        (*moves, *([(GONE, GONE, gone)] if gone else [])),
        cost_change,
        success_change,
    )


def _reasons(before: AnyTable, after: AnyTable) -> tuple[str, ...]:
    old, new = summary_of(before), summary_of(after)
    reasons = ["file"] if about(before).get("file_sha256") != about(after).get("file_sha256") else []
    return (*reasons, *(cause for name, cause in _CAUSES.items() if old[name] != new[name]))


def _former_models(before: AnyTable, after: AnyTable, spill: Path) -> Iterator[pa.Table]:
    with duckdb.connect(config={"temp_directory": str(spill)}) as connection:
        view(connection, "before", before)
        view(connection, "after", after)
        yield from in_blocks(connection.sql(query("former_models")).to_arrow_reader(BATCH_ROWS))


def _matrices(table: AnyTable, column: str, models: list[str]) -> Iterator[np.ndarray]:
    wide = pa.types.is_fixed_size_list(table.schema.field(column).type)
    for block in blocks(table, [column], width=1 if wide else len(models)):
        yield matrix(block, column, models)


def _counted(models: pa.Table) -> dict[tuple[str, str], int]:
    pairs = pa.table({"former": pc.fill_null(models["former"], NEW), "model": models["model"]})
    counted = pairs.group_by(["former", "model"], use_threads=False).aggregate([([], "count_all")]).to_pylist()
    return {(row["former"], row["model"]): row["count_all"] for row in counted}


def _gain(values: np.ndarray, row: np.ndarray, now: np.ndarray, then: np.ndarray) -> float:
    return float((values[row, now[row]] - values[row, then[row]]).sum(dtype=np.float64))
