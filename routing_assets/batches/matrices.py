"""The success probability and the cost of every model on every instruction of a batch, part by part."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from routing_assets.datasets import BatchInstructions
from routing_assets.engine import Engine
from routing_assets.foundation.long_table import about, matrix
from routing_assets.foundation.wide_matrix import wide_table
from routing_assets.prediction.calibration.buckets import STEPS
from routing_assets.pricing.cost_matrix import RequestTotals, price_batch
from routing_assets.storage.draft import Draft, make_parts, with_metadata
from routing_assets.storage.partitioned import PartitionedTable

if TYPE_CHECKING:  # torch loads with the router, not with the definitions
    from routing_assets.prediction.router import Router


PART_ROWS = "part_rows"
"""The key for the number of rows of each part but the last, in the metadata of a batch's matrices and in the summary of
its decision.
"""


class Rows(Protocol):
    """A part of a table, or rows in memory."""

    @property
    def rows(self) -> int:
        """How many."""
        ...

    def read(self) -> pa.Table:
        """The rows."""
        ...


@dataclass(frozen=True)
class _NoRow:
    part: Rows
    rows: int = 0

    def read(self) -> pa.Table:
        return self.part.read().slice(0, 0)


def derive_table(
    engine: Engine,
    function: Callable[..., pa.Table],
    parts: Sequence[Rows],
    draft: Callable[[pa.Schema], Draft],
    *arguments: Any,
) -> pa.Table | PartitionedTable:
    """The table whose part i is ``function(parts[i], *arguments)``; where there is one part, its rows themselves.

    Several parts are worked on with one thread each, and the table says how many rows a part has: the last bits of a
    probability depend on both, and a replay has to find the same ones.
    """
    if len(parts) == 1:
        return function(parts[0], *arguments)
    schema = function(_NoRow(parts[0]), *arguments).schema
    draft_of_parts = draft(with_metadata(schema, {PART_ROWS: str(parts[0].rows)}))
    return make_parts(engine, _on_one_thread, parts, draft_of_parts, function, *arguments)


def _on_one_thread(part: Rows, function: Callable[..., pa.Table], *arguments: Any) -> pa.Table:
    with threadpool_limits(limits=1):
        return function(part, *arguments)


def score_batch(batch: BatchInstructions, router: Router, version: str) -> pa.Table:
    """The table of ``probability_matrix``: P(success) after each step, by the router of this version."""
    predicted = router.predict(batch.instruction, batch.task)
    return wide_table(
        router.models,
        {step: getattr(predicted, step) for step in STEPS},
        others={"instruction_id": pa.array(batch.instruction_id, pa.string())},
        about={"router_version": version},
    )


def score_part(part: Rows, directory: Path, embeddings: Path) -> pa.Table:
    """:func:`score_batch` of one part of ``batch_instructions``, by the router kept in ``directory``."""
    return score_batch(BatchInstructions.from_arrow(part.read()), router_kept_in(directory, embeddings), directory.name)


@lru_cache(maxsize=1)
def router_kept_in(directory: Path, embeddings: Path) -> Router:
    """The router in a folder, which never changes; it is loaded once in each process that scores with it."""
    from routing_assets.prediction.router import Router

    return Router.load(directory, embeddings_cache=embeddings)


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """Sums over the rows of a probability matrix."""

    rows: int
    valid: bool
    """Every probability is finite and within [0, 1]."""
    best: float
    """Of the probability of the most probable model."""
    of_steps: Mapping[str, np.ndarray]
    """(K,) by step: of the probability of each model."""

    def __add__(self, other: ScoreSums) -> ScoreSums:
        of_steps = {step: sums + other.of_steps[step] for step, sums in self.of_steps.items()}
        return ScoreSums(self.rows + other.rows, self.valid and other.valid, self.best + other.best, of_steps)

    def means(self, models: Sequence[str]) -> list[dict[str, Any]]:
        """Mean probability of each model after each step, one row per model."""
        return [
            {"model": model, **{step: float(sums[k]) / self.rows for step, sums in self.of_steps.items()}}
            for k, model in enumerate(models)
        ]


def sum_scores(engine: Engine, scores: pa.Table | PartitionedTable) -> ScoreSums:
    """Sums over all rows of a probability matrix."""
    if isinstance(scores, pa.Table):
        return _score_sums(scores)
    return reduce(add, engine.map(_sum_part_scores, scores.parts))


def _sum_part_scores(part: Rows) -> ScoreSums:
    return _score_sums(part.read())


def _score_sums(table: pa.Table) -> ScoreSums:
    columns = {step: matrix(table, step, json.loads(about(table)["models"])) for step in STEPS}
    valid = all(np.isfinite(p).all() and (p >= 0).all() and (p <= 1).all() for p in columns.values())
    best = float(columns["decision"].max(axis=1).sum(dtype=np.float64))
    return ScoreSums(len(table), bool(valid), best, {s: p.sum(axis=0, dtype=np.float64) for s, p in columns.items()})


def sum_costs(engine: Engine, costs: pa.Table | PartitionedTable) -> np.ndarray:
    """(K,) USD of everything with each model."""
    if isinstance(costs, pa.Table):
        return _cost_sums(costs)
    return reduce(add, engine.map(_sum_part_costs, costs.parts))


def _sum_part_costs(part: Rows) -> np.ndarray:
    return _cost_sums(part.read())


def _cost_sums(table: pa.Table) -> np.ndarray:
    return matrix(table, "cost", json.loads(about(table)["models"])).sum(axis=0)


def price_part(part: Rows, cost_model: pa.Table, totals: RequestTotals) -> pa.Table:
    """``price_batch`` of one part of ``batch_instructions``; ``totals`` are those of the whole batch."""
    return price_batch(BatchInstructions.from_arrow(part.read()), cost_model, totals=totals)


def sum_requests(engine: Engine, parts: Sequence[Rows]) -> RequestTotals:
    """The sums of what a batch sends and asks for."""
    return reduce(add, engine.map(_part_totals, parts))


def _part_totals(part: Rows) -> RequestTotals:
    return RequestTotals.of(BatchInstructions.from_arrow(part.read()))
