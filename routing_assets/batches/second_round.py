"""The second round of a batch: each first answer is kept, which costs nothing, or another model is asked.

The budget of both rounds is that of the decision. What the first round really cost is taken off first; a call without a
bill counts as estimated. To keep every answer is always possible.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from routing_assets.allocation import Allocation, AllocationProblem
from routing_assets.allocation.second_look import decide_second_round
from routing_assets.allocation.solver.exact import exact_sum, float_not_above
from routing_assets.batches.first_answers import FirstAnswers
from routing_assets.batches.first_round import constraints_of
from routing_assets.batches.policy import RoutingSettings, settings_from
from routing_assets.batches.priced_batch import PRICES
from routing_assets.batches.route import batch_problem, summary_of
from routing_assets.batches.second_look_settings import confidence_of_round
from routing_assets.datasets import BatchInstructions
from routing_assets.foundation.long_table import matrix
from routing_assets.pricing.catalog_table import catalog_from_rows
from routing_assets.pricing.cost_matrix import cost_estimate
from routing_assets.storage.parquet_store import Store

if TYPE_CHECKING:
    from routing_assets.prediction.second_look import SecondLook

SUMMARY = "summary"
TOLD, BILLED, SIGNAL = "told_success", "billed_usd", "signal "
"""Columns for what was known of a first answer: its success, its bill, and each of its signals."""


@dataclass(frozen=True, eq=False)
class FirstRoundTables:
    """The tables of the decision of a first round, with the same N rows."""

    decision: Mapping[str, Any]
    routed: pa.Table
    instructions: BatchInstructions
    probabilities: pa.Table
    costs: pa.Table

    @property
    def budget(self) -> float:
        """USD for both rounds; in a month whose money is paced, what the month holds for them."""
        return float(self.decision["total_cost" if self.settings.period is not None else "budget"])

    @property
    def settings(self) -> RoutingSettings:
        """Of the decision."""
        return settings_from(json.loads(self.decision["settings"]), source="the ledger's settings")


def first_round_tables(store: Store, decision: Mapping[str, Any]) -> FirstRoundTables:
    """Read them from the store."""
    of_run = decision["batch_id"], decision["dagster_run_id"]
    costs = store.parts("cost_matrix", *of_run)
    return FirstRoundTables(
        decision,
        store.at(decision["routed_path"]).read(),
        BatchInstructions.from_arrow(store.parts("batch_instructions", *of_run).read()),
        store.parts("probability_matrix", *of_run).read(["scaled", "decision"]),
        costs.read([name for name in PRICES if name in costs.schema.names]),
    )


def decide_again(
    tables: FirstRoundTables, came: FirstAnswers, look: SecondLook, budget: float, second_look_version: str
) -> pa.Table:
    """The table of the second round. An instruction without a first answer stays with its first model.

    Columns are ``instruction_id, first_model, model, answered, escalated, expected_success`` (after both rounds),
    ``cost`` (estimated USD of the second call, 0 for a kept answer) and ``first_cost`` (USD); then what was known of
    the first answers, see :func:`known_in`. The metadata of its schema hold the summary.

    Args:
        budget: USD for both rounds.
        look: of the router that decided the first round.
    """
    catalog = catalog_from_rows(summary_of(tables.routed).get("catalog") or [])
    problem = batch_problem(tables.instructions, tables.probabilities, tables.costs, catalog, budget, tables.settings)
    models = tuple(problem.models or ())
    first = np.array([models.index(model) for model in tables.routed["model"].cast(pa.string()).to_pylist()])
    first_cost = np.where(np.isfinite(came.billed), came.billed, tables.routed["cost"].to_numpy())
    probability = probabilities_after(
        problem.success, matrix(tables.probabilities, "scaled", models), first, came, look, models
    )
    left = float_not_above(Fraction(budget) - exact_sum(first_cost))
    allocation = _decided(tables, problem, probability, first, came.answered, left)
    model, names = allocation.choice, pa.array(models, pa.string())
    success = allocation.problem.chosen(probability, model)
    cost = allocation.problem.chosen(allocation.problem.cost_matrix, model)
    summary = {
        "second_look_version": second_look_version,
        "first_run_id": tables.decision["dagster_run_id"],
        "budget_usd": budget,
        "spent_usd": float(exact_sum(first_cost)),
        "cost_usd": allocation.total_cost,
        "answered": int(came.answered.sum()),
        "escalated": int((model != first).sum()),
        "expected_success": allocation.expected_success,
        "upper_bound": allocation.upper_bound,
        "gap": allocation.gap,
        "shadow_price": allocation.shadow_price,
        "status": allocation.status,
        "catalog": summary_of(tables.routed).get("catalog") or [],
    }
    columns = {
        "instruction_id": tables.routed["instruction_id"],
        "first_model": pa.DictionaryArray.from_arrays(pa.array(first, pa.int32()), names),
        "model": pa.DictionaryArray.from_arrays(pa.array(model, pa.int32()), names),
        "answered": pa.array(came.answered),
        "escalated": pa.array(model != first),
        "expected_success": pa.array(success),
        "cost": pa.array(cost),
        "first_cost": pa.array(first_cost),
        TOLD: pa.array(came.success, from_pandas=True),
        BILLED: pa.array(came.billed, from_pandas=True),
        **{f"{SIGNAL}{name}": pa.array(values, from_pandas=True) for name, values in came.signals.items()},
    }
    return pa.table(columns).replace_schema_metadata({SUMMARY: json.dumps(summary)})


def known_in(second_round: pa.Table) -> FirstAnswers:
    """What was known of the first answers when the table of a second round was made."""
    told, billed = (second_round[name].to_numpy(zero_copy_only=False) for name in (TOLD, BILLED))
    signals = {
        name.removeprefix(SIGNAL): second_round[name].to_numpy(zero_copy_only=False)
        for name in second_round.column_names
        if name.startswith(SIGNAL)
    }
    return FirstAnswers(second_round["answered"].to_numpy(zero_copy_only=False), told, billed, signals)


def probabilities_after(
    alone: np.ndarray,
    scaled: np.ndarray,
    first: np.ndarray,
    came: FirstAnswers,
    look: SecondLook,
    models: tuple[str, ...],
) -> np.ndarray:
    """(N, K) probability of success of each model once the answers are there.

    Unchanged where no answer came or none of its signals is known. A success that is known is certain.

    Args:
        alone: (N, K) of each model, by the router.
        scaled: (N, K) temperature-scaled, by the router.
        first: (N,) the model that was asked.
    """
    probability = np.array(alone, dtype=np.float64)
    columns = np.array([models.index(model) for model in look.models])
    told = came.answered & came.known(look.signals)
    for name in look.first:
        rows = np.flatnonzero(told & (first == models.index(name)))
        if rows.size:
            signals = {signal: values[rows] for signal, values in came.signals.items()}
            probability[np.ix_(rows, columns)] = look.after(name, scaled[np.ix_(rows, columns)], signals)
    known = np.flatnonzero(np.isfinite(came.success))
    probability[known, first[known]] = came.success[known]
    return probability


def _decided(
    tables: FirstRoundTables,
    problem: AllocationProblem,
    probability: np.ndarray,
    first: np.ndarray,
    answered: np.ndarray,
    left: float,
) -> Allocation:
    """The second round within ``left`` USD; with a confidence, so much is held back as uncertain bills need."""
    models, constraints = tuple(problem.models or ()), constraints_of(problem)
    barred = np.repeat(~answered[:, None], len(models), axis=1)
    if problem.forbidden is not None:
        barred |= problem.forbidden

    def decide(usd: float) -> Allocation:
        return decide_second_round(
            probability, problem.cost_matrix, first, usd, models=models, forbidden=barred, constraints=constraints
        )

    allocation, confidence = decide(left), tables.settings.confidence
    again = allocation.choice != first
    if confidence is None or not again.any():
        return allocation
    estimate = cost_estimate(tables.costs.filter(pa.array(again)), models)
    return decide(left * estimate.safe_share(allocation.choice[again], confidence_of_round(confidence)))


def moves_of(table: pa.Table) -> list[dict[str, Any]]:
    """By first and second model, the most frequent first: answers, and the USD of their second calls."""
    names = [table[name].cast(pa.string()) for name in ("first_model", "model")]
    rows = pa.table([*names, table["cost"]], ["first model", "then", "cost"])
    counted = rows.group_by(["first model", "then"]).aggregate([("cost", "count"), ("cost", "sum")])
    moves = [
        {
            "first model": row["first model"],
            "then": "kept" if row["first model"] == row["then"] else row["then"],
            "instructions": row["cost_count"],
            "second calls, USD": row["cost_sum"],
        }
        for row in counted.to_pylist()
    ]
    return sorted(moves, key=lambda row: -row["instructions"])
