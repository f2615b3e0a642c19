"""A routed batch: the allocation of a priced probability matrix, as a table that carries its own summary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from routing_assets.allocation import (
    Allocation,
    AllocationProblem,
    allocate,
    unsupported_constraints,
)
from routing_assets.batches.first_round import PlannedLooks, plan_looks
from routing_assets.batches.matrices import PART_ROWS
from routing_assets.batches.policy import (
    RoutingSettings,
    allocation_problem,
    bars,
    incapable,
)
from routing_assets.batches.second_look_settings import confidence_of_round
from routing_assets.batches.spend_margin import SafeAllocation, allocate_as_recorded, allocate_safely
from routing_assets.datasets import BatchInstructions
from routing_assets.datasets.set_aside import count_set_aside
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import HasSchema, about, matrix, matrix_of
from routing_assets.foundation.names import printable
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_table
from routing_assets.pricing.cost_matrix import BEYOND_TEXT, REQUESTS_COUNTED, cost_estimate
from routing_assets.pricing.held_out_spend import HeldOutCalls

if TYPE_CHECKING:
    from routing_assets.prediction.second_look import KeptSecondLook

SET_ASIDE = "set_aside"
"""The key for the number of records of the file that are not routed; absent from a summary where all are."""
ROUTED = pa.schema(
    [
        ("instruction_id", pa.string()),
        ("model", pa.dictionary(pa.int32(), pa.string())),
        ("expected_success", pa.float64()),
        ("cost", pa.float64()),
        ("runner_up", pa.dictionary(pa.int32(), pa.string())),
        ("switching_price", pa.float64()),
    ]
)
"""Columns of a routed table, whose metadata hold the summary."""
LOOKED_AT = "looked_at"
SECOND_LOOK = "second_look"
"""The key for what a summary says of second looks. Where they are planned, the table has further columns:
``looked_at``, ``first_success`` (of the first model alone) and ``second_cost`` (USD expected of a second call);
``expected_success`` is that after both rounds, and ``cost`` that of the first call.
"""
FORMAT = 2
"""Of a routed table. In format 1, whose summaries name none, a switching price could be negative."""


class Certified(Protocol):
    """An allocation, in memory or in parts, with its certificate; see :class:`Allocation`."""

    @property
    def policy(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def total_cost(self) -> float: ...
    @property
    def expected_success(self) -> float: ...
    @property
    def upper_bound(self) -> float: ...
    @property
    def gap(self) -> float: ...
    @property
    def shadow_price(self) -> float: ...
    @property
    def binding(self) -> Sequence[str]: ...
    @property
    def notes(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, eq=False)
class RoutedBatch:
    """One allocation of one batch.

    ``table`` holds instruction_id, model, expected_success, cost (estimated USD), runner_up and switching_price, in
    batch order; its schema's metadata holds :meth:`summary`, so that the file alone can be audited.
    """

    allocation: Allocation
    table: pa.Table

    @property
    def summary(self) -> dict[str, Any]:
        """What was decided, and under which versions."""
        return summary_of(self.table)


def route_batch(
    batch: BatchInstructions,
    probabilities: pa.Table,
    costs: pa.Table,
    catalog: ModelCatalog | None,
    budget: float,
    settings: RoutingSettings,
    policy: str,
    *,
    previous: pa.Table | None = None,
    held_out: HeldOutCalls | None = None,
    recorded: Mapping[str, Any] | None = None,
    second_look: KeptSecondLook | None = None,
) -> RoutedBatch:
    """Allocate a batch.

    Args:
        probabilities: the table of ``probability_matrix``; its ``decision`` column feeds the allocation.
        costs: the table of ``cost_matrix``.
        catalog: limits of the models; None where costs come from the labels.
        budget: USD for the batch.
        policy: the allocation to make. Another than the settings' policy is for comparison only: constraints that it
            cannot keep are left out, and ``notes`` name them under ``not_kept``.
        previous: the routed table that is to be changed little, where a churn limit is set.
        held_out: calls by which the part of the budget that a confidence holds back is calibrated.
        recorded: summary of a past decision, from which the format and the part held back are taken.
        second_look: of the router, where the settings want answers to be looked at.

    Raises:
        InvalidInput: the costs lack a model of the probabilities, or second looks are demanded and cannot be planned.
        InfeasibleAllocation: no assignment of this policy keeps budget and constraints.
    """
    problem = batch_problem(batch, probabilities, costs, catalog, budget, settings, previous=previous)
    not_kept = () if policy == settings.policy else unsupported_constraints(problem, policy)
    left_out: dict[str, Any] = {name: () if name == "extra_budgets" else None for name in not_kept}
    problem = replace(problem, **left_out)
    solve = partial(allocate, policy=policy, target=settings.target, seed=settings.seed, exact=settings.exact)
    allocation = solve(problem)
    estimate = cost_estimate(costs, allocation.models)
    if settings.confidence is None:
        overspend = estimate.forecast(allocation.choice).overspend_probability(budget)
        safe = SafeAllocation(allocation, overspend, None)
    elif recorded is not None:
        safe = allocate_as_recorded(solve, problem, recorded)
    else:
        safe = allocate_safely(solve, allocation, estimate, of_one_round(settings), catalog, held_out, left_out)
    format = FORMAT if recorded is None else format_of(recorded)
    certified, looks = safe.allocation, None
    if settings.second_look is not None and policy == settings.policy:
        looks = plan_looks(certified.problem, certified.expected_success, second_look, settings)
    planned = looks if isinstance(looks, PlannedLooks) else None
    certified = certified if planned is None else planned.plan.allocation
    summary = {
        **decided(certified, certified.problem.budget, safe.overspend_probability, safe.margin, budget, not_kept),
        **decided_by(len(batch), count_set_aside(batch.set_aside), probabilities, costs, catalog, settings),
        **({"format": format} if format > 1 else {}),
        **({} if looks is None else {SECOND_LOOK: planned.about if planned else {"not_planned": looks}}),
    }
    table = _table(batch, certified, format) if planned is None else _table_of_looks(batch, planned)
    return RoutedBatch(certified, table.replace_schema_metadata({b"summary": json.dumps(summary).encode()}))


def of_one_round(settings: RoutingSettings) -> RoutingSettings:
    """The settings with the confidence of one round, where there may be two."""
    if settings.second_look is None or settings.confidence is None:
        return settings
    return replace(settings, confidence=confidence_of_round(settings.confidence))


def decided(
    certified: Certified,
    allocated_usd: float,
    overspend_probability: float,
    margin: Mapping[str, Any] | None,
    budget: float,
    not_kept: Sequence[str],
) -> dict[str, Any]:
    """The decision, with its optimality certificate, as a summary says it."""
    notes = {name: _plain(value) for name, value in certified.notes.items()}
    return {
        "policy": certified.policy,
        "budget_usd": budget,
        "allocated_usd": allocated_usd,
        "overspend_probability": overspend_probability,
        **({} if margin is None else {"spend_margin": dict(margin)}),
        "cost_usd": certified.total_cost,
        "expected_success": certified.expected_success,
        "upper_bound": certified.upper_bound,
        "gap": certified.gap,
        "shadow_price": certified.shadow_price,
        "status": certified.status,
        "binding": list(certified.binding),
        "notes": notes | ({"not_kept": list(not_kept)} if not_kept else {}),
    }


def decided_by(
    instructions: int,
    set_aside: int,
    probabilities: HasSchema,
    costs: HasSchema,
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
) -> dict[str, Any]:
    """What the decision rests on: batch, settings, router and prices."""
    scored, priced = about(probabilities), about(costs)
    return {
        "instructions": instructions,
        "settings": json.loads(settings.to_json()),
        "settings_version": settings.version,
        "catalog": catalog_table(catalog).to_pylist(),
        "router_version": scored["router_version"],
        "price_version": priced["price_version"],
        **({BEYOND_TEXT: json.loads(priced[BEYOND_TEXT])} if BEYOND_TEXT in priced else {}),
        **({REQUESTS_COUNTED: priced[REQUESTS_COUNTED]} if REQUESTS_COUNTED in priced else {}),
        **({SET_ASIDE: set_aside} if set_aside else {}),
        **({PART_ROWS: int(scored[PART_ROWS])} if PART_ROWS in scored else {}),
    }


def no_allocation(policy: str, budget: float, reason: str) -> pa.Table:
    """The table of a policy that has no assignment for a batch: no rows, and the reason in its summary."""
    nothing = ROUTED.empty_table()
    numbers = ("cost_usd", "overspend_probability", "expected_success", "upper_bound", "gap", "shadow_price")
    summary = {
        "policy": policy,
        "budget_usd": budget,
        **dict.fromkeys(numbers, 0.0),
        **dict.fromkeys(("router_version", "price_version", "settings_version"), ""),
        "status": "infeasible",
        "binding": [],
        "notes": {"reason": reason},
        "instructions": 0,
    }
    return nothing.replace_schema_metadata({b"summary": json.dumps(summary).encode()})


def batch_problem(
    batch: BatchInstructions,
    probabilities: pa.Table,
    costs: pa.Table,
    catalog: ModelCatalog | None,
    budget: float,
    settings: RoutingSettings,
    *,
    previous: pa.Table | None = None,
) -> AllocationProblem:
    """The allocation problem of a batch, from its tables; see :func:`route_batch`."""
    models = tuple(json.loads(about(probabilities)["models"]))
    priced = tuple(json.loads(about(costs)["models"]))
    if not set(models) <= set(priced):
        raise InvalidInput(
            f"the router knows {', '.join(models)} but the prices are of {', '.join(priced)}",
            remedy="Materialise cost_model with a catalog that names the router's models.",
        )
    return allocation_problem(
        matrix(probabilities, "decision", models),
        matrix_of(costs, "cost", models),
        models,
        settings,
        budget=budget,
        catalog=catalog,
        tokens=batch.tokens,
        incapable=incapable(batch, models, catalog),
        group=_groups(batch),
        previous=None if previous is None else _previous_choice(batch, previous, models),
    )


def _groups(batch: BatchInstructions) -> np.ndarray | None:
    return batch.group if batch.group is not None else batch.task


def of_file(table: pa.Table, file_sha256: str) -> pa.Table:
    """The routed table with the hash of the batch file that it answers."""
    return table.replace_schema_metadata({**table.schema.metadata, b"file_sha256": file_sha256.encode()})


def format_of(summary: Mapping[str, Any]) -> int:
    """The format of the routed table that carries this summary."""
    return int(summary.get("format", 1))


def summary_of(table: HasSchema) -> dict[str, Any]:
    """The summary that a routed table carries."""
    return json.loads(about(table)["summary"])


def _table(batch: BatchInstructions, allocation: Allocation, format: int) -> pa.Table:
    problem, choice = allocation.problem, allocation.choice
    names = pa.array(allocation.models, pa.string())
    runner_up = pa.array(allocation.runner_up, pa.int32(), mask=allocation.runner_up < 0)
    columns = {
        "instruction_id": pa.array(batch.instruction_id, pa.string()),
        "model": pa.DictionaryArray.from_arrays(pa.array(choice, pa.int32()), names),
        "expected_success": pa.array(problem.chosen(problem.success, choice)),
        "cost": pa.array(problem.chosen(problem.cost_matrix, choice)),
        "runner_up": pa.DictionaryArray.from_arrays(runner_up, names),
        "switching_price": pa.array(allocation.reduced_cost if format == 1 else allocation.switching_price),
    }
    return pa.table(columns)


def _table_of_looks(batch: BatchInstructions, planned: PlannedLooks) -> pa.Table:
    """A routed table of first calls, with what is planned to follow them."""
    allocation, models = planned.plan.allocation, planned.models
    table = _table(batch, allocation, FORMAT)
    names = pa.array(models, pa.string())
    first = {
        "model": pa.DictionaryArray.from_arrays(pa.array(planned.plan.choice, pa.int32()), names),
        "cost": pa.array(planned.first_cost),
        LOOKED_AT: pa.array(planned.plan.looked_at),
        "first_success": pa.array(planned.first_success),
        "second_cost": pa.array(planned.second_cost),
    }
    for name, values in first.items():
        place = table.schema.get_field_index(name)
        table = table.append_column(name, values) if place < 0 else table.set_column(place, name, values)
    return table


def _previous_choice(batch: BatchInstructions, previous: pa.Table, models: tuple[str, ...]) -> np.ndarray:
    index = {model: k for k, model in enumerate(models)}
    before = dict(zip(previous["instruction_id"].to_pylist(), previous["model"].to_pylist(), strict=True))
    return np.array([index.get(before.get(i, ""), -1) for i in batch.instruction_id], dtype=np.int64)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


_REMEDIES = {
    "context_tokens": "Raise context_tokens in the catalog, or shorten the instructions.",
    "required_tags": "Give models the required tags in the catalog, or require fewer.",
    "max_latency": "Raise max_latency.",
    "vision": "Give a model that sees images the tag vision and an image_price in the catalog.",
    "audio": "Give a model that hears sound the tag audio and an audio_price in the catalog.",
    "files": "Give a model that reads files the tag files and a file_price in the catalog.",
    "tools": "Give the models that call tools the tag tools in the catalog.",
    "json": "Give the models that answer in JSON the tag json in the catalog.",
}


def set_barred_aside(
    batch: BatchInstructions, models: tuple[str, ...], catalog: ModelCatalog | None, settings: RoutingSettings
) -> BatchInstructions:
    """The batch without the instructions that no model may get by the catalog's limits and the settings.

    Raises:
        InvalidInput: there is such an instruction and the settings are strict, or there is no other.
    """
    of_rules = rows_without_model(batch, models, catalog, settings)
    if not of_rules:
        return batch
    barred = sum(map(len, of_rules.values()))
    if settings.strict or barred == len(batch):
        rules, rows = next(iter(of_rules.items()))
        raise InvalidInput(
            f"no model is left under {rules} for {len(rows)} of {len(batch)} instructions, "
            f"the first of them '{printable(batch.instruction_id[rows[0]])}' of {batch.tokens[rows[0]]:g} tokens"
            + (f". Before, {count_set_aside(batch.set_aside)} records were set aside" if batch.set_aside else ""),
            remedy=_remedy(rules),
        )
    return batch.set_apart({reason_of(rules): _mask(rows, len(batch)) for rules, rows in of_rules.items()})


def rows_without_model(
    batch: BatchInstructions, models: tuple[str, ...], catalog: ModelCatalog | None, settings: RoutingSettings
) -> dict[str, list[int]]:
    """By the rules that together leave them no model: the rows of such instructions, in order of the first one."""
    by_rule = bars(batch, models, catalog, settings)
    kept_from = np.zeros((len(batch), len(models)), bool)
    for bar in by_rule.values():
        kept_from |= bar
    of_rules: dict[str, list[int]] = {}
    for row in np.flatnonzero(kept_from.all(axis=1)).tolist():
        rules = " and ".join(rule for rule, bar in by_rule.items() if bar[row if len(bar) > 1 else 0].any())
        of_rules.setdefault(rules, []).append(row)
    return of_rules


def reason_of(rules: str) -> str:
    """Why an instruction without a model under these rules is set aside, and what to do about it."""
    return f"no model is left under {rules}. {_remedy(rules)}"


def _remedy(rules: str) -> str:
    return " ".join(_REMEDIES.get(rule) or _untranslated(rule) for rule in rules.split(" and "))


def _untranslated(rule: str) -> str:
    form, _, what = rule.partition(":")[2].partition(".")
    return (
        f"No model's provider can express {what!r} of a request in the form {form!r}: leave it out, or give a model "
        "of a provider that can (provider and unsupported_parameters in the catalog)."
    )


def _mask(rows: list[int], n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[rows] = True
    return mask
