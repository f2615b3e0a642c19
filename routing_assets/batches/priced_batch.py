"""A batch with the success probability and cost of every call: in memory, or in parts that are never all in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from routing_assets.allocation import AllocationProblem, Frontier, TooManyRows, frontier
from routing_assets.batches.affordability import OF_SUCCESS, LeastCosts, least_costs_of_parts, unscored_problem
from routing_assets.batches.frontier import frontier_of_parts
from routing_assets.batches.matrices import Rows, sum_scores
from routing_assets.batches.money import BatchBudget, Demand, commit_budget, commit_share
from routing_assets.batches.policy import RoutingSettings, refuse_limits_on_unknowns
from routing_assets.batches.route import batch_problem, set_barred_aside
from routing_assets.datasets import BatchInstructions
from routing_assets.engine import Engine
from routing_assets.foundation.long_table import about, matrix_of
from routing_assets.pacing import SpendCurve, curve_of, joined_curve
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.cost_matrix import ASSUMED_OF_CALL
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.parts import Part
from routing_assets.storage.warehouse import Warehouse

PRICES = ("cost", "cost_std", ASSUMED_OF_CALL)
MEMORY_BYTES = 8 << 30
BYTES_PER_PAIR = 250
"""Peak memory of allocating a batch that has to be held whole, see ``allocation.by_sweeps``."""
CURVE_POINTS = 4_096
"""Steps that the spend curve of a part keeps; neighbours beyond them are merged."""


@dataclass(frozen=True)
class PricedBatch:
    """The three tables of a batch, by reference, with the same rows."""

    instructions: PartitionedTable
    probabilities: PartitionedTable
    costs: PartitionedTable

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The K models of the router."""
        return tuple(json.loads(about(self.probabilities)["models"]))

    @property
    def in_parts(self) -> bool:
        """Whether the batch has more than one part."""
        return len(self.instructions.parts) > 1

    def parts(self) -> list[PricedPart]:
        """The parts, in row order."""
        tables = zip(self.instructions.parts, self.probabilities.parts, self.costs.parts, strict=True)
        prices = tuple(prices_in(self.costs.schema))
        return [PricedPart(*parts, self.models, prices) for parts in tables]

    def held(self) -> HeldBatch:
        """The whole batch in memory."""
        return HeldBatch(
            BatchInstructions.from_arrow(self.instructions.read()),
            self.probabilities.read(["decision"]),
            self.costs.read(prices_in(self.costs.schema)),
        )


@dataclass(frozen=True, eq=False)
class HeldBatch:
    """A batch in memory: its instructions, and the tables ``probability_matrix`` and ``cost_matrix``."""

    instructions: BatchInstructions
    probabilities: pa.Table
    costs: pa.Table

    def problem(self, catalog: ModelCatalog | None, settings: RoutingSettings) -> AllocationProblem:
        """Its allocation problem under a budget without limit."""
        return batch_problem(self.instructions, self.probabilities, self.costs, catalog, math.inf, settings)


@dataclass(frozen=True)
class PricedPart:
    """One part of a priced batch, by reference."""

    instructions: Part
    probabilities: Part
    costs: Part
    models: tuple[str, ...]
    price_columns: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Instructions."""
        return self.instructions.rows

    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """(M, K) probability of success and estimated USD."""
        success = matrix_of(self.probabilities.read(["decision"]), "decision", self.models)
        return success, matrix_of(self.costs.read(["cost"]), "cost", self.models)

    def prices(self) -> pa.Table:
        """The rows of the cost matrix, without their ids."""
        return self.costs.read(self.price_columns)

    def problem(self, catalog: ModelCatalog | None, settings: RoutingSettings) -> AllocationProblem:
        """The allocation problem of this part alone, without constraints that join it to other parts."""
        success, cost = self.matrices()
        batch = BatchInstructions.from_arrow(self.instructions.read())
        return replace(unscored_problem(cost, self.models, batch, catalog, settings), success=success)


def commit_budget_of(
    engine: Engine,
    warehouse: Warehouse,
    batch_id: str,
    run_id: str,
    batch: PricedBatch,
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
) -> BatchBudget:
    """What the batch may spend; under a period it is committed, see ``money.commit_share``.

    Raises:
        InvalidInput: a setting limits what is unknown, or no model may get some instruction.
        InfeasibleAllocation: the money does not pay for the batch.
    """
    groups = {"group", "task"} & set(batch.instructions.schema.names)
    refuse_limits_on_unknowns(settings, batch.models, catalog, has_groups=bool(groups))
    if reasons := whole_for(batch, catalog, settings):
        refuse_too_many(batch, reasons)
    if reasons or not batch.in_parts:
        held = batch.held()
        problem = held.problem(catalog, settings)
        _refuse_barred(held.instructions, batch.models, catalog, settings)
        return commit_budget(warehouse, batch_id, run_id, problem, settings)
    least = least_costs_of_parts(engine, batch.instructions, batch.costs, batch.models, catalog, settings)
    if least.cheapest is None:
        _refuse_barred_parts(engine, batch, catalog, settings)

    def demand() -> Demand:
        curve = demand_of_parts(engine, batch, catalog, settings, least)[0]
        return Demand(curve, curve.least_usd)

    return commit_share(warehouse, batch_id, run_id, settings.budget_of(least.of_models), demand, settings)


def whole_for(batch: PricedBatch, catalog: ModelCatalog | None, settings: RoutingSettings) -> tuple[str, ...]:
    """The settings for which all instructions of a batch in several parts have to be in memory at once."""
    if not batch.in_parts:
        return ()
    first = BatchInstructions.from_arrow(batch.instructions.parts[0].read().slice(0, 1))
    tying = unscored_problem(np.zeros((1, len(batch.models))), batch.models, first, catalog, settings).side_constraints
    of_success = tuple(name for name in OF_SUCCESS if name in settings.constraints)
    of_all = tuple(name for name in ("confidence", "second_look") if getattr(settings, name) is not None)
    return (*tying, *of_success, *of_all)


def refuse_too_many(batch: PricedBatch, reasons: Sequence[str]) -> None:
    """Raise TooManyRows where a batch that has to be held whole does not fit."""
    fit = MEMORY_BYTES // (BYTES_PER_PAIR * len(batch.models))
    if batch.instructions.rows > fit:
        raise TooManyRows(batch.instructions.rows, fit, len(batch.models), tuple(reasons), MEMORY_BYTES)


def demand_of_parts(
    engine: Engine,
    batch: PricedBatch,
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
    least: LeastCosts,
) -> tuple[SpendCurve, float]:
    """What a batch in parts would spend at each price of money, and the expected successes of its cheapest assignment.

    Args:
        least: of the whole batch; each instruction has a model.
    """
    curves, successes = zip(*engine.map(_demand_of_part, batch.parts(), catalog, settings), strict=True)
    if least.cheapest is None:
        raise ValueError("some instruction has no model")
    return joined_curve(curves, least.cheapest), math.fsum(successes)


def _demand_of_part(
    part: PricedPart, catalog: ModelCatalog | None, settings: RoutingSettings
) -> tuple[SpendCurve, float]:
    curve = frontier(part.problem(catalog, settings))
    return curve_of(curve).thinned(CURVE_POINTS), float(curve.expected_success[0]) * part.rows


def frontier_of_batch(
    engine: Engine, batch: PricedBatch, catalog: ModelCatalog | None, settings: RoutingSettings
) -> tuple[Frontier, np.ndarray, np.ndarray]:
    """The frontier of a batch in parts; and (K,) USD and mean expected success of everything with one model."""
    least = least_costs_of_parts(engine, batch.instructions, batch.costs, batch.models, catalog, settings)
    curve, cheapest_success = demand_of_parts(engine, batch, catalog, settings, least)
    success = sum_scores(engine, batch.probabilities).of_steps["decision"] / batch.instructions.rows
    return frontier_of_parts(curve, cheapest_success), np.array([float(usd) for usd in least.of_models]), success


def _refuse_barred(
    batch: BatchInstructions, models: tuple[str, ...], catalog: ModelCatalog | None, settings: RoutingSettings
) -> None:
    """Those that were barred when the batch was read are set aside; catalog or router may have changed since."""
    set_barred_aside(batch, models, catalog, replace(settings, strict=True))


def _refuse_barred_parts(
    engine: Engine, batch: PricedBatch, catalog: ModelCatalog | None, settings: RoutingSettings
) -> None:
    for _ in engine.map(_refuse_barred_part, batch.instructions.parts, batch.models, catalog, settings):
        pass


def _refuse_barred_part(
    part: Rows, models: tuple[str, ...], catalog: ModelCatalog | None, settings: RoutingSettings
) -> None:
    _refuse_barred(BatchInstructions.from_arrow(part.read()), models, catalog, settings)


def prices_in(schema: pa.Schema) -> list[str]:
    """The columns of a cost matrix that an allocation needs; those of earlier versions have fewer."""
    return [name for name in PRICES if name in schema.names]
