"""Whether a batch can be paid for. This depends on costs alone, so nothing has to be scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa

from routing_assets.allocation import AllocationProblem, InfeasibleBudget, allocate
from routing_assets.allocation.solver.exact import exact_sum, float_not_above, float_not_below, within
from routing_assets.batches.matrices import Rows
from routing_assets.batches.money import room_of_month
from routing_assets.batches.policy import RoutingSettings, allocation_problem, incapable
from routing_assets.datasets import BatchInstructions
from routing_assets.engine import Engine
from routing_assets.foundation.long_table import matrix_of
from routing_assets.pacing import PeriodExhausted
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.storage.in_force import candidate, router_in_force
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.warehouse import Warehouse

OF_SUCCESS = ("group_floor", "max_group_gap", "max_changes")
"""Constraints that cannot be judged by costs alone."""


@dataclass(frozen=True)
class LeastCosts:
    """Exact sums over the instructions of a batch, in USD."""

    cheapest: Fraction | None
    """Every instruction with its cheapest allowed model; None where one has no model, which another check reports."""
    of_models: tuple[Fraction, ...]
    """All instructions with one model, for each model."""

    def __add__(self, other: LeastCosts) -> LeastCosts:
        none = self.cheapest is None or other.cheapest is None
        cheapest = None if none else self.cheapest + other.cheapest  # type: ignore[operator]
        return LeastCosts(cheapest, tuple(map(add, self.of_models, other.of_models)))


def refuse_unaffordable(
    engine: Engine,
    warehouse: Warehouse,
    batch_id: str,
    instructions: PartitionedTable,
    costs: pa.Table | PartitionedTable,
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
) -> None:
    """Raise where even the cheapest model for each instruction costs more than the batch may spend.

    A batch that passes may still be refused later: by a safety margin, or by constraints that make it more expensive.

    Raises:
        InfeasibleBudget: the batch's own budget is too small. The error names the smallest that would do; of a batch in
            several parts, without regard to constraints between its instructions.
        PeriodExhausted: the month has too little left.
    """
    models = tuple(candidate(warehouse, router_in_force(warehouse)["router_version"])["models"])
    problem = None
    if isinstance(costs, pa.Table):
        problem = _unscored(instructions.read(), costs, models, catalog, settings)
        least = _least_costs(problem)
    else:
        least = least_costs_of_parts(engine, instructions, costs, models, catalog, settings)
    if least.cheapest is None:
        return
    own = settings.budget_of(least.of_models)
    if own is not None and not within(least.cheapest, own):
        if problem is None:
            raise InfeasibleBudget(own, float_not_below(least.cheapest))
        allocate(replace(problem, budget=own))  # cannot succeed: the error names the smallest budget that would do
    if settings.period is not None:
        room, held = room_of_month(warehouse, batch_id, settings)
        if not within(least.cheapest, room):
            raise PeriodExhausted(float_not_below(least.cheapest), float_not_above(room), held)


def least_costs_of_parts(
    engine: Engine,
    instructions: PartitionedTable,
    costs: PartitionedTable,
    models: tuple[str, ...],
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
) -> LeastCosts:
    """The sums over a batch in parts."""
    pairs = list(zip(instructions.parts, costs.parts, strict=True))
    return reduce(add, engine.map(_least_costs_of_part, pairs, models, catalog, settings))


def _least_costs_of_part(
    pair: tuple[Rows, Rows], models: tuple[str, ...], catalog: ModelCatalog | None, settings: RoutingSettings
) -> LeastCosts:
    instructions, costs = pair
    return _least_costs(_unscored(instructions.read(), costs.read(), models, catalog, settings))


def _least_costs(problem: AllocationProblem) -> LeastCosts:
    cost, allowed = problem.cost_matrix, problem.allowed
    cheapest = (cost if allowed is None else np.where(allowed, cost, np.inf)).min(axis=1)
    of_models = tuple(exact_sum(column) for column in cost.T)
    return LeastCosts(exact_sum(cheapest) if np.isfinite(cheapest).all() else None, of_models)


def _unscored(
    instructions: pa.Table,
    costs: pa.Table,
    models: Sequence[str],
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
) -> AllocationProblem:
    batch = BatchInstructions.from_arrow(instructions)
    return unscored_problem(matrix_of(costs, "cost", models), tuple(models), batch, catalog, settings)


def unscored_problem(
    cost: np.ndarray,
    models: tuple[str, ...],
    batch: BatchInstructions,
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
) -> AllocationProblem:
    """The allocation problem of a batch with its costs only: success probabilities and budget are left out."""
    constraints = {name: value for name, value in settings.constraints.items() if name not in OF_SUCCESS}
    return allocation_problem(
        np.zeros(cost.shape, np.float32),
        cost,
        models,
        replace(settings, constraints=constraints),
        budget=math.inf,
        catalog=catalog,
        tokens=batch.tokens,
        incapable=incapable(batch, models, catalog),
    )
