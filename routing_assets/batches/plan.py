"""A batch that is routed without being kept: its table as a frame, the proof of how good it is, a report in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import narwhals as nw
import numpy as np
import pandas
import pyarrow as pa

from routing_assets.allocation import frontier
from routing_assets.batches.frontier import around_budget, place_of, whole_frontier
from routing_assets.batches.matrices import score_batch
from routing_assets.batches.policy import RoutingSettings, refuse_limits_on_unknowns
from routing_assets.batches.route import RoutedBatch, route_batch, set_barred_aside
from routing_assets.batches.routed_files import routed_blocks
from routing_assets.datasets import BatchInstructions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import about, matrix_of
from routing_assets.prediction.router import Router as Predictor
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.cost_matrix import price_batch

MORE_OR_LESS = 0.1
"""The report says what this share of the budget more, or less, would do."""


def plan_batch(
    batch: BatchInstructions,
    predictor: Predictor,
    version: str,
    cost_model: pa.Table,
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
    *,
    simulated: str | None = None,
    backend: ModuleType = pandas,
) -> Plan:
    """Score, price and allocate a batch, without keeping anything.

    Args:
        version: of the predictor.
        cost_model: the table that prices calls.
        settings: with a budget of its own, and not the share of a period.
        simulated: name of the labels behind the predictor, where these were simulated.
        backend: the library of the plan's frames.

    Raises:
        InvalidInput: batch or settings cannot be used. The message says where the fault is and what to do.
        InfeasibleAllocation: the budget or the constraints allow no assignment. The message says what would.
    """
    has_groups = batch.group is not None or batch.task is not None
    refuse_limits_on_unknowns(settings, predictor.models, catalog, has_groups=has_groups)
    batch = set_barred_aside(batch, predictor.models, catalog, settings)
    costs = price_batch(batch, cost_model)
    budget = settings.own_budget(matrix_of(costs, "cost", predictor.models))
    if budget is None:
        raise InvalidInput("the month's money decides the budget", remedy="Give a budget: --budget 25.")
    scores = score_batch(batch, predictor, version)
    routed = route_batch(batch, scores, costs, catalog, budget, settings, settings.policy)
    remarks = [f"{len(rows)} records are set aside: {reason}" for reason, rows in batch.set_aside.items()]
    if doubt := about(costs)["doubt"]:
        remarks.append(f"Mind that {doubt}")
    if simulated is not None:
        remarks.append(f"The labels behind it were simulated, not measured: {simulated}.")
    return Plan(routed, batch, backend, tuple(remarks))


@dataclass(frozen=True, eq=False)
class Plan:
    """Which model each text goes to, what that costs and buys, and the proof of how good it is.

    Attributes:
        routed: the decision as the product keeps it, with its allocation.
        batch: the texts.
        backend: the library of its tables' frames.
        remarks: what the reader should know.
    """

    routed: RoutedBatch
    batch: BatchInstructions
    backend: ModuleType
    remarks: tuple[str, ...] = ()

    @cached_property
    def table(self) -> Any:
        """A frame of the kind that came in, pandas for a list: ``instruction_id, instruction, model, expected_success,
        cost`` (estimated USD), one row per text in their order.
        """
        table = pa.concat_tables(routed_blocks(self.routed.table, self.batch.to_arrow()))
        text = pa.field("model", pa.string())
        schema = table.schema.set(table.schema.get_field_index("model"), text).remove_metadata()
        return self._native(table.cast(schema))

    @property
    def budget(self) -> float:
        """USD for the batch."""
        return self.routed.allocation.problem.budget

    @property
    def cost(self) -> float:
        """Estimated USD of the batch, never above the budget."""
        return self.routed.allocation.total_cost

    @property
    def expected_success(self) -> float:
        """Mean over the texts."""
        return self.routed.allocation.expected_success

    @property
    def upper_bound(self) -> float:
        """No assignment within budget and constraints has a greater mean expected success."""
        return self.routed.allocation.upper_bound

    @property
    def gap(self) -> float:
        """Relative distance of the expected success to the upper bound."""
        return self.routed.allocation.gap

    @property
    def shadow_price(self) -> float:
        """Expected successes of the batch per extra USD."""
        return self.routed.allocation.shadow_price

    @property
    def status(self) -> str:
        """``optimal`` where that is proven."""
        return self.routed.allocation.status

    def frontier(self, budgets: Sequence[float] | None = None) -> Any:
        """What other budgets would buy: a frame ``budget`` (USD), ``expected_success``.

        Args:
            budgets: in USD; by default half to twice the plan's own, where they pay for the batch.
        """
        if budgets is not None:
            points = frontier(self.routed.allocation.problem, budgets)
            return self._native(pa.table({"budget": points.budget, "expected_success": points.expected_success}))
        rows = self._around
        columns = {"budget": "budget_usd", "expected_success": "expected_success"}
        return self._native(pa.table({name: [row[of_row] for row in rows] for name, of_row in columns.items()}))

    def report(self) -> str:
        """What it costs and buys, where the texts went, and what more or less money would do."""
        allocation, place = self.routed.allocation, place_of(self.routed.allocation)
        best = int(np.argmax(place.success_of_models))
        lines = [
            f"{len(self.batch)} instructions cost {self.cost:.4g} of {self.budget:.4g} USD, by estimate; "
            f"{self.expected_success:.1%} of them are expected to succeed.",
            f"No other assignment within the budget reaches more than {self.upper_bound:.1%} "
            f"({allocation.policy}, {self.status}, gap {self.gap:.2g}).",
            f"Everything with {allocation.models[best]} would cost {place.cost_of_models[best]:.4g} USD for "
            f"{place.success_of_models[best]:.1%}.",
        ]
        lines += self._other_budgets()
        if allocation.binding:
            lines.append(f"What binds: {', '.join(allocation.binding)}.")
        return "\n".join([*lines, *self.remarks, "", *self._traffic()])

    def __repr__(self) -> str:
        return f"Plan({self.report().splitlines()[0]})"

    @cached_property
    def _around(self) -> list[dict[str, float]]:
        return around_budget(self.routed.allocation, whole_frontier(self.routed.allocation.problem))

    def _other_budgets(self) -> list[str]:
        gain = {round(row["budget"] - 1, 9): row["gain"] * len(self.batch) for row in self._around}
        said = [
            f"{abs(share):.0%} {'more' if share > 0 else 'less'} money: {gain[share]:+.2g} expected successes"
            for share in (-MORE_OR_LESS, MORE_OR_LESS)
            if share in gain
        ]
        return [f"With {', with '.join(said)}."] if said else []

    def _traffic(self) -> list[str]:
        allocation = self.routed.allocation
        problem, choice = allocation.problem, allocation.choice
        success, cost = problem.chosen(problem.success, choice), problem.chosen(problem.cost_matrix, choice)
        width = max(len("model"), *map(len, allocation.models))
        rows = [f"{'model':{width}}  instructions  expected success   cost USD"]
        for k, model in enumerate(allocation.models):
            own = choice == k
            if n := int(own.sum()):
                rows.append(f"{model:{width}}  {n:12}  {success[own].mean():16.1%}  {cost[own].sum():9.4g}")
        return rows

    def _native(self, table: pa.Table) -> Any:
        return nw.from_arrow(table, backend=self.backend).to_native()
