"""Everything behind one routed instruction: predictions, cost, the decision with its router and prices, the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from routing_assets.batches.known import decision_in_force
from routing_assets.foundation.long_table import about
from routing_assets.foundation.wide_matrix import models_of
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.warehouse import Warehouse

ROUTED = ("model", "expected_success", "cost", "runner_up", "switching_price")
LIMITS = ("min_share", "max_share", "capacity")
SCORES = {"raw": "raw", "scaled": "scaled", "calibrated": "calibrated", "decision": "used_probability"}
"""Columns of the probability matrix, and what a trace calls them."""
OF_ANSWER = {
    "text": "answer",
    "error": "answer_error",
    "finish_reason": "finish_reason",
    "input_tokens": "read_tokens",
    "cached_tokens": "cached_tokens",
    "output_tokens": "written_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "latency_s": "answer_latency_s",
}
"""Columns of the table of answers, and what a trace calls them."""


def trace_instruction(
    warehouse: Warehouse, store: Store, batch_id: str, instruction_id: str, runs: Sequence[str]
) -> dict[str, Any] | None:
    """The decision in force on one instruction, with its predictions, cost, router, prices and policy.

    Args:
        runs: the run that decided and the failed runs that it resumed, newest first; one of them scored the batch.

    Returns:
        None where the batch has no such instruction.

    Raises:
        InvalidInput: the batch is not routed.
    """
    decided = decision_in_force(warehouse, batch_id)
    table = store.at(decided["routed_path"])
    routed = table.where("instruction_id", instruction_id)
    if not routed:
        return None
    assigned = {name: routed[0].get(name) for name in ROUTED}
    scores = dict.fromkeys(SCORES.values())
    for run_id in [run for run in runs if store.exists("probability_matrix", batch_id, run)][:1]:
        scores = _scores(store.parts("probability_matrix", batch_id, run_id), instruction_id, assigned["model"])
    asked = {"batch_id": batch_id, "instruction_id": instruction_id, **assigned, **scores}
    asked |= _limits(json.loads(about(table)["summary"]))
    asked |= _answer(store, batch_id, instruction_id, assigned["model"])
    (traced,) = warehouse.fetch("trace_instruction", asked)
    return traced | _second_round(warehouse, store, batch_id, instruction_id, routed[0])


def _second_round(
    warehouse: Warehouse, store: Store, batch_id: str, instruction_id: str, routed: Mapping[str, Any]
) -> dict[str, Any]:
    """What was planned after the first answer, and what followed; nothing where one call was planned for the batch."""
    if "first_success" not in routed:
        return {}
    from routing_assets.batches.route import LOOKED_AT
    from routing_assets.batches.second_round import SIGNAL
    from routing_assets.batches.second_rounds import second_round_of

    planned = {
        "looked_at": routed[LOOKED_AT],
        "first_success": routed["first_success"],
        "expected_second_usd": routed["second_cost"],
    }
    decided = second_round_of(warehouse, batch_id)
    if decided is None:
        return planned | {"second_round": "not decided yet"}
    (row,) = store.at(decided["routed_path"]).where("instruction_id", instruction_id)
    told = {name.replace(SIGNAL, "told_"): value for name, value in row.items() if name.startswith(SIGNAL)}
    followed = {
        "second_round": f"asks {row['model']}" if row["escalated"] else "keeps the answer",
        "second_run_id": decided["dagster_run_id"],
        **told,
        "success_after_answer": row["expected_success"],
        "second_cost_usd": row["cost"],
    }
    if row["escalated"]:
        answer = _answer(store, batch_id, instruction_id, row["model"])
        followed |= {f"second_{name}": answer[name] for name in ("answer", "answer_error", "grade")}
    return planned | followed


def _limits(summary: Mapping[str, Any]) -> dict[str, str | None]:
    """What bound the allocation, and the limits of single models in the catalog; nulls where there was nothing."""
    of_models = {
        row["name"]: {name: row[name] for name in LIMITS if row.get(name) is not None}
        for row in summary.get("catalog") or ()
    }
    limited = {name: limits for name, limits in of_models.items() if limits}
    return {
        "binding": ", ".join(summary.get("binding") or ()) or None,
        "limits_of_models": json.dumps(limited) if limited else None,
    }


def _answer(store: Store, batch_id: str, instruction_id: str, model: Any) -> dict[str, Any]:
    """What the routed model answered, what all its attempts cost, and the grade; nulls where that is unknown."""

    def rows(asset: str) -> list[dict[str, Any]]:
        if not store.exists(asset, batch_id):
            return []
        return [
            row for row in store.parts(asset, batch_id).where("instruction_id", instruction_id) if row["model"] == model
        ]

    calls = rows("answers")
    newest: dict[str, Any] = next((row for row in calls if row["newest"]), {})
    grade: dict[str, Any] = next(iter(rows("grades")), {})
    told: dict[str, Any] = next(iter(rows("batch_outcomes")), {})
    return {
        "attempts": len(calls) or None,
        **{said: newest.get(name) for name, said in OF_ANSWER.items()},
        "billed_usd": told.get("billed_usd"),
        "grade": grade.get("success"),
        "grade_reason": grade.get("reason"),
        "grader": grade.get("grader"),
        "grader_version": grade.get("grader_version"),
        "success": told.get("success"),
    }


def _scores(matrix: PartitionedTable, instruction_id: str, model: Any) -> dict[str, Any]:
    """The predictions for one model. Tables of earlier versions have a row for each instruction and model."""
    rows = matrix.where("instruction_id", instruction_id)
    if "model" in matrix.schema.names:
        of_model = next((row for row in rows if row["model"] == model), {})
        return {said: of_model.get(step) for step, said in SCORES.items()}
    column = models_of(matrix.schema).index(model)
    return {said: rows[0][step][column] for step, said in SCORES.items()}
