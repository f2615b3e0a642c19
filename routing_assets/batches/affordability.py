"""Check whether the money can pay for a batch at all. Costs alone decide this, so nothing has to be scored."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.allocation.solver.exact import exact_sum, float_not_above, float_not_below, within
from routing_assets.batches.money import room_of_month
from routing_assets.batches.policy import RoutingSettings, allocation_problem, incapable
from routing_assets.datasets import BatchInstructions
from routing_assets.foundation.long_table import matrix_of
from routing_assets.pacing import PeriodExhausted
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.storage.in_force import candidate, router_in_force
from routing_assets.storage.warehouse import Warehouse

OF_SUCCESS = ("group_floor", "max_group_gap", "max_changes")
"""Constraints that cannot be checked from costs alone."""


def refuse_unaffordable(
    warehouse: Warehouse,
    batch_id: str,
    batch: BatchInstructions,
    costs: pa.Table,
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
) -> None:
    """Raise where even the cheapest model for each instruction costs more than the batch may spend.

    A batch that passes may still be refused later: by a safety margin, or by constraints that make it dearer.

    Raises:
        InfeasibleBudget: the batch's own budget is too small; it names the smallest that would do.
        PeriodExhausted: the month has too little left.
    """
    known = candidate(warehouse, router_in_force(warehouse)["router_version"])["models"]
    priced = matrix_of(costs, "cost", known)
    problem = unscored_problem(priced, tuple(known), batch, catalog, settings)
    allowed = problem.allowed
    cheapest = (priced if allowed is None else np.where(allowed, priced, np.inf)).min(axis=1)
    if not np.isfinite(cheapest).all():
        return  # some instruction is barred from every model, which is another fault
    least = exact_sum(cheapest)
    own = settings.own_budget(problem.cost_matrix)
    if own is not None and not within(least, own):
        allocate(replace(problem, budget=own))  # cannot succeed: it says what the smallest budget is
    if settings.period is not None:
        room, held = room_of_month(warehouse, batch_id, settings)
        if not within(least, room):
            raise PeriodExhausted(float_not_below(least), float_not_above(room), held)


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
