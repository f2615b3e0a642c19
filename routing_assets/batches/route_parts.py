"""Routing a batch in several parts: the allocation sweeps them, and each part of the routed batch is written where its
rows were read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any, cast

import numpy as np
import pyarrow as pa

from routing_assets.allocation import POLICIES, AnswerPart, PartedAllocation, PartedProblem, allocate_parts
from routing_assets.allocation.policy import PAIR_RULES
from routing_assets.batches.policy import RoutingSettings
from routing_assets.batches.priced_batch import PricedBatch, PricedPart, whole_for
from routing_assets.batches.route import FORMAT, ROUTED, RoutedBatch, decided, decided_by, route_batch
from routing_assets.datasets.batch import set_aside_of
from routing_assets.datasets.set_aside import count_set_aside
from routing_assets.engine import Engine
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.cost_matrix import cost_estimate
from routing_assets.pricing.spend import SpendSums
from routing_assets.storage.draft import Draft
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.parts import PartFile


@dataclass(frozen=True)
class RoutedParts:
    """An allocation of a batch in parts, and its routed table, whose manifest holds the summary."""

    allocation: PartedAllocation
    table: PartitionedTable


Routed = RoutedBatch | RoutedParts


def route_priced(
    engine: Engine,
    batch: PricedBatch,
    catalog: ModelCatalog | None,
    budget: float,
    settings: RoutingSettings,
    draft: Callable[[str, pa.Schema], Draft],
    **options: Any,
) -> Callable[[str], Routed]:
    """A function that routes a batch by a policy's name: in memory if it has one part or its settings need all of it.

    Args:
        draft: where a policy's routed table of this schema is written, of a batch in parts.
        options: what else ``route.route_batch`` takes.
    """
    if not batch.in_parts or whole_for(batch, catalog, settings):
        held = batch.held()
        tables = held.instructions, held.probabilities, held.costs
        return partial(route_batch, *tables, catalog, budget, settings, **options)

    barred = list(engine.map(barred_pairs, batch.parts(), catalog, settings))

    def route(policy: str) -> RoutedParts:
        return route_parts(engine, batch, barred, catalog, budget, settings, policy, partial(draft, policy))

    return route


def route_parts(
    engine: Engine,
    batch: PricedBatch,
    barred: Sequence[BarredPairs],
    catalog: ModelCatalog | None,
    budget: float,
    settings: RoutingSettings,
    policy: str,
    draft: Callable[[pa.Schema], Draft],
) -> RoutedParts:
    """Allocate a batch whose instructions share no constraint but the budget; arguments as of ``route.route_batch``.

    Args:
        barred: in each part, see :func:`barred_pairs`.
        draft: where the routed table of this schema is written.

    Raises:
        InfeasibleAllocation: no assignment of this policy keeps the budget.
    """
    parts = batch.parts()
    not_kept: Sequence[str] = ()
    if policy != settings.policy and POLICIES[policy].ignores_pair_rules:
        not_kept = [rule for rule in PAIR_RULES if any(rule in bars.rules for bars in barred)]
        barred = [NOTHING_BARRED] * len(parts)
    allowed, writing = list(map(AllowedPart, parts, barred)), draft(ROUTED)
    allocation = allocate_parts(
        PartedProblem(allowed, budget, batch.models),
        policy,
        target=settings.target,
        seed=settings.seed,
        exact=settings.exact,
        engine=engine,
        keep=WriteRouted(writing),
    )
    shared_error = cost_estimate(batch.costs.schema.empty_table(), batch.models).shared_error
    spend = reduce(add, (written.spend for written in allocation.answers)).forecast(shared_error)
    aside = count_set_aside(set_aside_of(batch.instructions))
    summary = {
        **decided(allocation, budget, spend.overspend_probability(budget), None, budget, not_kept),
        **decided_by(batch.instructions.rows, aside, batch.probabilities, batch.costs, catalog, settings),
        "format": FORMAT,
    }
    files = [written.file for written in allocation.answers]
    return RoutedParts(allocation, writing.finish(files, {"summary": json.dumps(summary)}))


@dataclass(frozen=True)
class BarredPairs:
    """Pairs of instruction and model of one part that the catalog and the settings rule out."""

    rules: tuple[str, ...] = ()
    """Constraints of an allocation problem that bar some pair."""
    bits: bytes = b""
    """(M, K) bits, row after row; empty where no pair is barred."""


NOTHING_BARRED = BarredPairs()


def barred_pairs(part: PricedPart, catalog: ModelCatalog | None, settings: RoutingSettings) -> BarredPairs:
    """What is barred in one part."""
    problem = part.problem(catalog, settings)
    if problem.allowed is None:
        return NOTHING_BARRED
    rules = tuple(rule for rule in PAIR_RULES if getattr(problem, rule) is not None)
    return BarredPairs(rules, np.packbits(~problem.allowed).tobytes())


@dataclass(frozen=True)
class AllowedPart:
    """One part as the allocation reads it."""

    part: PricedPart
    barred: BarredPairs

    @property
    def rows(self) -> int:
        """Instructions."""
        return self.part.rows

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Probability of success, estimated USD, and which pairs are allowed."""
        success, cost = self.part.matrices()
        if not self.barred.bits:
            return success, cost, None
        barred = np.unpackbits(np.frombuffer(self.barred.bits, np.uint8), count=success.size)
        return success, cost, barred.reshape(success.shape) == 0


@dataclass(frozen=True)
class WrittenPart:
    """A part of the routed table, and what its calls will cost."""

    file: PartFile
    spend: SpendSums


@dataclass(frozen=True)
class WriteRouted:
    """Writes the decisions on each part of a batch as a part of its routed table."""

    draft: Draft

    def __call__(self, answer: AnswerPart) -> WrittenPart:
        """Write the part that was answered."""
        part = cast(AllowedPart, answer.source).part
        names = pa.array(part.models, pa.string())
        runner_up = pa.array(answer.runner_up, pa.int32(), mask=answer.runner_up < 0)
        table = pa.table(
            {
                "instruction_id": part.instructions.read(["instruction_id"])["instruction_id"],
                "model": pa.DictionaryArray.from_arrays(pa.array(answer.choice, pa.int32()), names),
                "expected_success": pa.array(answer.expected_success),
                "cost": pa.array(answer.expected_cost),
                "runner_up": pa.DictionaryArray.from_arrays(runner_up, names),
                "switching_price": pa.array(answer.switching_price),
            }
        )
        spend = cost_estimate(part.prices(), part.models).sums(answer.choice)
        return WrittenPart(self.draft.write_part(answer.number, table), spend)
