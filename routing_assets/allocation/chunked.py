"""Batches larger than memory: the same certified knapsack over a stream of chunks.

Two passes, whatever the number of rows: one validates and samples, one decides. Beside the choice vector (two bytes per
instruction) only the sample, the window and one chunk are held.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from routing_assets.allocation import validation as check
from routing_assets.allocation.errors import InfeasibleBudget
from routing_assets.allocation.solver.bracket import bracket_price
from routing_assets.allocation.solver.exact import float_not_above, float_not_below
from routing_assets.allocation.solver.knapsack import CapacityTooSmall, solve_knapsack
from routing_assets.allocation.solver.scan import Chunk
from routing_assets.foundation.errors import InvalidInput

_GAP = 1e-6
_SAMPLED = 32  # one row in so many
_MAX_SAMPLE = 1 << 18
_MAX_WINDOW = 1 << 19
_SMALL = 1 << 16  # rows: up to here the whole batch is its own window


@dataclass(frozen=True, eq=False)
class ChunkedAllocation:
    """Choice and certificate of a streamed batch; fields as in :class:`~routing_assets.allocation.Allocation`."""

    choice: np.ndarray
    """(N,) int16 index into the chunks' columns."""
    status: str
    expected_success: float
    total_cost: float
    upper_bound: float
    shadow_price: float
    budget_slack: float

    @property
    def gap(self) -> float:
        """Relative distance to the upper bound."""
        return max(0.0, self.upper_bound - self.expected_success) / self.upper_bound if self.upper_bound else 0.0


def allocate_chunks(
    chunks: Iterable[tuple[Any, Any]], budget: float, *, seed: int = 0, time_limit_s: float = math.inf
) -> ChunkedAllocation:
    """Maximise expected success of a batch that comes in (success, cost) chunks, under one hard budget in USD.

    ``chunks`` must be iterable again and again (an object whose ``__iter__`` reopens the file, not a generator) and
    yield the same rows each time: success (M, K) in [0, 1], cost (M, K) or (K,) in USD. Raises
    :class:`InfeasibleBudget`, and :class:`~routing_assets.foundation.errors.InvalidInput` naming chunk, row and model.
    """
    budget = check.limit(budget, "budget")
    if iter(chunks) is chunks:
        raise InvalidInput("chunks can be read only once", remedy="Pass an object whose __iter__ starts again")
    n, sample, dtype = _inspect(chunks, seed)
    bracket = (0.0, math.inf)
    if n > _SMALL and math.isfinite(budget):
        bracket = bracket_price(*sample, n, budget)
    try:
        answer = solve_knapsack(
            _Pairs(chunks),
            n,
            budget,
            bracket,
            relative_gap=_GAP,
            time_limit_s=time_limit_s,
            dtype=dtype,
            max_window=_MAX_WINDOW,
        )
    except CapacityTooSmall as short:
        raise InfeasibleBudget(budget, float_not_below(short.least)) from None
    success = answer.value / n
    bound = success if answer.proven else success + answer.loss / n
    status = "optimal" if answer.proven else "within_gap" if bound - success <= _GAP * bound else "feasible"
    slack = math.inf if math.isinf(budget) else float_not_above(Fraction(budget) - answer.weight)
    return ChunkedAllocation(answer.choice, status, success, float_not_below(answer.weight), bound, answer.price, slack)


@dataclass(frozen=True)
class _Pairs:
    """The caller's chunks in the form the scan reads."""

    chunks: Iterable[tuple[Any, Any]]

    def __iter__(self) -> Iterator[Chunk]:
        for success, cost in self.chunks:
            value = np.asarray(success)
            yield value, np.broadcast_to(np.asarray(cost), value.shape), None


def _inspect(chunks: Iterable[tuple[Any, Any]], seed: int) -> tuple[int, tuple[np.ndarray, np.ndarray], np.dtype]:
    """Validate every chunk; return the number of rows, a sample of them in float64, and the precision to keep."""
    n, dtype = 0, np.dtype(np.float32)
    values: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for number, (raw_success, raw_cost) in enumerate(chunks):
        try:
            success = check.success_matrix(raw_success)
            models = check.model_names(None, success.shape[1])
            cost = check.per_model_or_pair(raw_cost, "cost", models, len(success))
        except InvalidInput as error:
            raise InvalidInput(
                error.problem, source=f"chunk {number}", row=error.row, column=error.column, remedy=error.remedy
            ) from None
        if values and success.shape[1] != values[0].shape[1]:
            raise InvalidInput(f"{success.shape[1]} models after {values[0].shape[1]}", source=f"chunk {number}")
        n, dtype = n + len(success), np.result_type(dtype, success, cost)
        rng = np.random.default_rng((seed, number))
        rows = np.sort(rng.choice(len(success), -(-len(success) // _SAMPLED), replace=False))
        values.append(success[rows])
        weights.append(np.broadcast_to(cost, success.shape)[rows])
    if not values:
        raise InvalidInput("the batch is empty", remedy="Allocate at least one instruction")
    value, weight = np.concatenate(values), np.concatenate(weights)
    if len(value) > _MAX_SAMPLE:
        kept = np.sort(np.random.default_rng(seed).choice(len(value), _MAX_SAMPLE, replace=False))
        value, weight = value[kept], weight[kept]
    return n, (value.astype(np.float64), weight.astype(np.float64)), dtype
