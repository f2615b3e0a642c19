"""Spend the rest of a budget exactly: dynamic programming over the few rows that are nearly indifferent."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from routing_assets.allocation.solver.exact import exact_sum
from routing_assets.allocation.solver.scan import Alternatives

_MOST_ROOM = 1 << 61


@dataclass(frozen=True, eq=False)
class Filling:
    """The moves that use the slack best: ``row[i]`` goes to ``column[i]``.

    All moves together add ``value`` and ``weight``. ``loss`` is the distance that remains to the upper bound;
    ``complete`` says that no other moves have a smaller one.
    """

    row: np.ndarray
    column: np.ndarray
    value: Fraction
    weight: Fraction
    loss: float
    complete: bool


@dataclass(frozen=True)
class Effort:
    """Limits of a search: states kept at once (those with the least loss), states made in total, and a deadline."""

    states: int
    work: float = math.inf
    deadline: float = math.inf


@dataclass(frozen=True, eq=False)
class _Stage:
    parent: np.ndarray
    column: np.ndarray


def fill_slack(
    options: Alternatives,
    slack: Fraction,
    price: float,
    *,
    best: float,
    enough: float,
    effort: Effort,
) -> Filling:
    """Choose moves with total added weight <= ``slack`` and least loss = sum of reduced costs + price x unused slack.

    ``best`` is the loss to beat; the search stops at ``enough``. Weights are whole numbers of a grid on which they are
    exact wherever 62 bits allow; else they are rounded against the budget. A state that has lost as much as the best
    filling cannot lead to a better one, and one that weighs more and is worth less than another is dropped
    (Pisinger 1995). Where ``effort`` cuts the search short the answer is not ``complete``.
    """
    added, room, unit = _on_grid(options, slack)
    beyond = price * float(slack - room * Fraction(unit)) if room == _MOST_ROOM else 0.0
    weight, loss = np.zeros(1, np.int64), np.zeros(1)
    stages: list[_Stage] = []
    best_state, best_stage, complete, work = 0, 0, True, 0
    for m in range(len(options.row)):
        columns = np.flatnonzero(options.loss[m] < best)
        if not columns.size:  # rows are sorted by least loss: no later one can help either
            break
        work += weight.size * (columns.size + 1)
        if best <= enough or work > effort.work or time.monotonic() > effort.deadline:
            complete = False
            break
        weight, loss, stage = _extend(weight, loss, columns, added[m], options.loss[m], best, price * unit)
        if weight.size > effort.states:
            keep = np.sort(np.argpartition(loss, effort.states)[: effort.states])
            weight, loss, stage = weight[keep], loss[keep], _Stage(stage.parent[keep], stage.column[keep])
            complete = False
        stages.append(stage)
        total = np.where(weight <= room, loss + (price * unit) * (room - weight) + beyond, np.inf)
        at = int(total.argmin())
        if total[at] < best:
            best, best_state, best_stage = float(total[at]), at, len(stages)
    rows, chosen = _trace(stages[:best_stage], best_state)
    before = options.before[rows]
    value, weight_added = (
        exact_sum(pairs[rows, chosen]) - exact_sum(pairs[rows, before]) for pairs in (options.value, options.weight)
    )
    return Filling(options.row[rows], chosen, value, weight_added, max(best, 0.0), complete)


def thinned(options: Alternatives, copies: int) -> Alternatives:
    """Keep at most ``copies`` of the rows with identical moves: calibrated buckets make thousands of them."""
    known = np.where(np.isfinite(options.loss), options.loss, -1.0)
    added = np.where(np.isfinite(options.loss), options.weight - options.weight_before[:, None], 0.0)
    mix = np.random.default_rng(0).random((2, known.shape[1]))  # different moves get different sums with these weights
    _, kind, count = np.unique(known @ mix[0] + added @ mix[1], return_inverse=True, return_counts=True)
    order = np.argsort(kind, kind="stable")
    rank = np.empty(kind.size, np.intp)
    rank[order] = np.arange(kind.size) - np.repeat(np.cumsum(count) - count, count)
    return options.at(rank < copies)


def _extend(
    weight: np.ndarray,
    loss: np.ndarray,
    columns: np.ndarray,
    added: np.ndarray,
    losses: np.ndarray,
    best: float,
    price: float,
) -> tuple[np.ndarray, np.ndarray, _Stage]:
    """Extend all states by one row's options; drop states that cannot beat ``best`` or are dominated."""
    stay = weight.size
    new_weight = np.concatenate([weight, *(weight + added[k] for k in columns)])
    new_loss = np.concatenate([loss, *(loss + losses[k] for k in columns)])
    alive = np.flatnonzero(new_loss < best)
    order = alive[np.lexsort((new_loss[alive], new_weight[alive]))]
    worth = price * new_weight[order] - new_loss[order]
    ceiling = np.maximum.accumulate(worth)
    order = order[np.concatenate([[True], worth[1:] > ceiling[:-1]])]
    column = np.concatenate([[-1], columns])[order // stay]
    return new_weight[order], new_loss[order], _Stage(order % stay, column)


def _on_grid(options: Alternatives, slack: Fraction) -> tuple[np.ndarray, int, float]:
    """Return added weights (M, K) and slack in whole units, and the unit: a power of two, exact if 62 bits allow."""
    reachable, before = np.where(np.isfinite(options.loss), options.weight, 0.0), options.weight_before
    greatest = float(np.maximum(np.abs(reachable).max(axis=1, initial=0.0), np.abs(before)).sum()) * 2
    exponent = 61 - math.frexp(greatest)[1] if greatest > 0 else 0
    after = np.ceil(np.ldexp(reachable, exponent)).astype(np.int64)
    room = min(math.floor(slack * Fraction(2) ** exponent), _MOST_ROOM)
    return after - np.floor(np.ldexp(before, exponent)).astype(np.int64)[:, None], room, math.ldexp(1.0, -exponent)


def _trace(stages: list[_Stage], state: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = [], []
    for m in range(len(stages) - 1, -1, -1):
        column, state = int(stages[m].column[state]), int(stages[m].parent[state])
        if column >= 0:
            rows.append(m)
            columns.append(column)
    return np.array(rows, np.intp), np.array(columns, np.intp)
