"""Budget and side constraints over two rounds.

A limit on calls (a capacity, a share, a mean latency ...) is a usage per instruction and model. "Ask j first, then
decide" uses what the call of j uses and, in expectation, what the second calls use:

    usage[i, j then decide] = usage[i, j] + sum_k P(escalation of i to k) usage[i, k]  >=  usage[i, j].

So the first calls alone keep every limit, and what they leave of it is not negative: the second round, in which keeping
an answer uses nothing, can always keep everything. For the same reason a least share is reached by first calls alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from routing_assets.allocation.problem import AllocationProblem, ExtraBudget, PerModel
from routing_assets.allocation.solver.exact import exact_sum, float_not_above
from routing_assets.allocation.solver.rows import decimal

_BY_CALLS: dict[str, Any] = dict.fromkeys(
    ("min_share", "max_share", "capacity", "token_capacity", "tokens", "mean_latency", "max_latency", "latency")
)
"""Fields that are expressed as usage of calls instead."""
THEN_DECIDE = ", then decide"
"""What the name of a second look's column ends with, after that of its first model."""
_HAIR = 1e-9
"""Expected success; more than rounding can do to a mean."""


def with_looks(
    problem: AllocationProblem,
    value: np.ndarray,
    usage: np.ndarray,
    first: np.ndarray,
    calls: np.ndarray | None = None,
) -> AllocationProblem:
    """The problem with a further column for each first model: ask it, then decide.

    Args:
        value: (N, J) expected success of the columns.
        usage: (N, J) USD.
        first: (J,) the model that is asked first.
        calls: (N, J, K) expected second calls; needed under constraints that tie instructions together.
    """
    n, k = problem.success.shape
    names = tuple(problem.models or ())
    joined = AllocationProblem(
        np.hstack([problem.success, value]),
        np.hstack([problem.cost_matrix, usage]),
        problem.budget,
        models=(*names, *(f"{names[j]}{THEN_DECIDE}" for j in first)),
        forbidden=_barred(problem, first),
        group=problem.group,
        group_floor=problem.group_floor,
        max_group_gap=problem.max_group_gap,
    )
    if calls is None:
        return joined
    of_columns = np.concatenate([np.arange(k), first])
    limits = [
        replace(limit, usage=np.hstack([alone, alone[:, first] + np.einsum("njk,nk->nj", calls, alone)]))
        for limit in _limits(problem)
        for alone in [np.broadcast_to(limit.usage, (n, k))]
    ]
    return replace(
        joined,
        extra_budgets=(*limits, *_least_first_calls(problem, of_columns), *_changes(problem, of_columns, calls)),
    )


def left_over(problem: AllocationProblem, first: np.ndarray) -> AllocationProblem:
    """The problem of the second round: what the (N,) first calls have left of every limit, kept answers being free.

    ``problem.budget`` is what they have left of the money.
    """
    rows = np.arange(len(problem))
    barred, slow = problem.forbidden, problem.max_latency
    if slow is not None:
        latency = np.broadcast_to(np.asarray(problem.latency), problem.success.shape)
        late = latency[rows, first][:, None] + latency > slow
        barred = late if barred is None else barred | late
    if barred is not None:
        barred = barred.copy()
        barred[rows, first] = False
    limits = []
    for limit in _limits(problem):
        used = np.array(np.broadcast_to(limit.usage, problem.success.shape), dtype=np.float64)
        left = Fraction(limit.limit) - exact_sum(used[rows, first])
        used[rows, first] = 0.0
        limits.append(replace(limit, usage=used, limit=max(0.0, float_not_above(left))))
    cost = np.array(problem.cost_matrix, dtype=np.float64)
    cost[rows, first] = 0.0
    changes = problem.max_changes
    if changes is not None and problem.previous is not None:
        changes = max(changes, int(((first != problem.previous) & (problem.previous >= 0)).sum()))
    return replace(
        problem,
        cost=cost,
        forbidden=barred,
        extra_budgets=tuple(limits),
        max_changes=changes,
        **_BY_CALLS,
    )


def with_floors_as_reached(problem: AllocationProblem, first: np.ndarray) -> AllocationProblem:
    """The problem with no higher floor, and no narrower gap, of a group's success than keeping all answers gives."""
    if problem.group is None:
        return problem
    kept = problem.chosen(problem.success, first)
    mean = {
        str(label): float(exact_sum(kept[problem.group == label]) / int((problem.group == label).sum()))
        for label in np.unique(problem.group)
    }
    floors, gap = problem.group_floor, problem.max_group_gap
    if floors is not None:
        floors = {label: min(floor, max(0.0, mean[label] - _HAIR)) for label, floor in dict(floors).items()}  # type: ignore[arg-type]
    if gap is not None:
        gap = max(gap, max(mean.values()) - min(mean.values()) + _HAIR)
    return replace(problem, group_floor=floors, max_group_gap=gap)


def _limits(problem: AllocationProblem) -> Iterator[ExtraBudget]:
    """Every upper limit on calls, as usage per model or pair."""
    n, names = len(problem), problem.models or ()
    yield from (extra for extra in problem.extra_budgets if math.isfinite(extra.limit))
    counts = np.minimum(_per_model(problem.capacity, problem, math.inf), n)
    shares, tokens = _per_model(problem.max_share, problem, 1.0), _per_model(problem.token_capacity, problem, math.inf)
    for name, one, count, share, most in zip(names, np.eye(len(names)), counts, shares, tokens, strict=True):
        if count < n:
            yield ExtraBudget(name, one, math.floor(count), f"capacity[{name}]")
        if share < 1:
            yield ExtraBudget(name, one, math.floor(decimal(share) * n), f"max_share[{name}]")
        if problem.tokens is not None and math.isfinite(most):
            yield ExtraBudget(name, problem.tokens * one, most, f"token_capacity[{name}]")
    if problem.mean_latency is not None and problem.latency is not None and math.isfinite(problem.mean_latency):
        total = float_not_above(Fraction(problem.mean_latency) * n)
        yield ExtraBudget("mean_latency", problem.latency, total, "mean_latency")


def _least_first_calls(problem: AllocationProblem, of_columns: np.ndarray) -> Iterator[ExtraBudget]:
    """Least shares, as the most instructions that may be asked of the other models first."""
    for k, (name, share) in enumerate(
        zip(problem.models or (), _per_model(problem.min_share, problem, 0.0), strict=True)
    ):
        least = math.ceil(decimal(share) * len(problem))
        if least > 0:
            others = (of_columns != k).astype(np.float64)
            yield ExtraBudget(name, others, len(problem) - least, f"min_share[{name}]")


def _changes(problem: AllocationProblem, of_columns: np.ndarray, calls: np.ndarray) -> Iterator[ExtraBudget]:
    """Instructions that leave their previous model: by the first call, or by a second one after a first that stays."""
    if problem.max_changes is None or problem.previous is None:
        return
    k = problem.n_models
    changed = (of_columns != problem.previous[:, None]).astype(np.float64)
    changed[:, k:] += (1.0 - changed[:, k:]) * calls.sum(axis=2)
    changed[problem.previous < 0] = 0.0
    yield ExtraBudget("max_changes", changed, problem.max_changes, "max_changes")


def _barred(problem: AllocationProblem, first: np.ndarray) -> np.ndarray | None:
    """Barred pairs. An instruction that may not go to every model, or may wait too long for two, is not looked at.

    Models that no instruction may go to do not count.
    """
    allowed = problem.allowed
    if allowed is None:
        return None
    barred = np.repeat(~allowed[:, allowed.any(axis=0)].all(axis=1, keepdims=True), len(first), axis=1)
    barred |= ~allowed[:, first]
    if problem.max_latency is not None:
        latency = np.broadcast_to(np.asarray(problem.latency), problem.success.shape)
        for column, j in enumerate(first):
            second = np.delete(latency, j, axis=1).max(axis=1, initial=0.0)
            barred[:, column] |= latency[:, j] + second > problem.max_latency
    return np.hstack([~allowed, barred])


def _per_model(values: PerModel | None, problem: AllocationProblem, default: float) -> np.ndarray:
    """(K,) limits; validation has put them in the models' order."""
    return np.full(problem.n_models, default) if values is None else np.asarray(values, np.float64)
