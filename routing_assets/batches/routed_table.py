"""Sums over a routed table, in memory or in parts: assignments, spend, and traffic by model."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest

import numpy as np
import pyarrow as pa

from routing_assets.allocation.solver.exact import exact_sum
from routing_assets.storage.blocks import AnyTable, blocks


@dataclass(frozen=True)
class Assigned:
    """How a routed table fits its batch."""

    instructions: int
    """In the batch."""
    assigned: int
    """Rows of the routed table that have a model."""
    is_complete: bool
    """Each instruction of the batch is there once, in the batch's order, with a model."""


def count_assigned(routed: AnyTable, instructions: AnyTable) -> Assigned:
    """Compare a routed table with its batch."""
    expected, assigned, same = 0, 0, True
    pairs = zip_longest(blocks(routed, ["instruction_id", "model"]), blocks(instructions, ["instruction_id"]))
    for rows, of_batch in pairs:
        expected += 0 if of_batch is None else of_batch.num_rows
        assigned += 0 if rows is None else rows.num_rows - rows["model"].null_count
        both = rows is not None and of_batch is not None
        same = same and both and rows["instruction_id"].equals(of_batch["instruction_id"])
    return Assigned(expected, assigned, same and assigned == expected)


def spend_of(routed: AnyTable) -> Fraction:
    """USD of a routed table, exact, with the second calls that are expected."""
    names = [name for name in ("cost", "second_cost") if name in routed.schema.names]
    sums = (exact_sum(block[name].to_numpy()) for block in blocks(routed, names) for name in names)
    return sum(sums, Fraction(0))


def traffic_of(routed: AnyTable) -> list[dict[str, object]]:
    """By model, the most frequent first: instructions, mean expected success, and USD."""
    figures = [("cost", "sum"), ("expected_success", "sum"), ("cost", "count")]
    counted = [
        block.set_column(0, "model", block["model"].cast(pa.string())).group_by("model").aggregate(figures)
        for block in blocks(routed, ["model", "cost", "expected_success"])
    ]
    if not counted:
        return []
    names = [f"{name}_{figure}" for name, figure in figures]
    total = pa.concat_tables(counted).group_by("model").aggregate([(name, "sum") for name in names])
    rows = [
        {
            "model": row["model"],
            "instructions": row["cost_count_sum"],
            "expected_success": row["expected_success_sum_sum"] / np.float64(row["cost_count_sum"]),
            "cost_usd": row["cost_sum_sum"],
        }
        for row in total.to_pylist()
    ]
    return sorted(rows, key=lambda row: -row["instructions"])
