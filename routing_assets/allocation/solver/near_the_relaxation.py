"""Many constraints at once: prices from the linear relaxation, reduced-cost fixing, and an exact core.

At the optimal prices all but a few instructions (one per binding row) have a clear best model. They are fixed, and the
instructions nearest to indifference are decided exactly within what is left of every limit. A pair whose reduced cost
is not less than the distance between the bound and the best answer so far cannot be part of a better one.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from routing_assets.allocation.solver.relaxation import Relaxed
from routing_assets.allocation.solver.rows import Row
from routing_assets.allocation.solver.whole_numbers import Core, solve_core

_CORE_SIZES = (96, 384, 1536)
_PAIRS_PER_INSTRUCTION = 3
_WHOLE = 4_000  # pairs: a problem up to this size is one core


@dataclass(frozen=True, eq=False)
class WholeNumbers:
    """A choice that keeps all rows, or None where none was found. ``proven``: no better one exists, or none at all."""

    choice: np.ndarray | None
    value: float
    proven: bool


def choose(
    value: np.ndarray, rows: list[Row], relaxed: Relaxed, *, relative_gap: float, seed: int, time_limit_s: float
) -> WholeNumbers:
    """Find a choice near the relaxation: try ever larger cores until the gap is small enough or the time is up."""
    deadline = time.monotonic() + time_limit_s
    n = len(value)
    loss = np.maximum(relaxed.worth.max(axis=1, keepdims=True) - relaxed.worth, 0.0)
    margin = np.where(relaxed.split, -1.0, np.partition(loss, 1, axis=1)[:, 1] if loss.shape[1] > 1 else math.inf)
    order = np.argsort(margin, kind="stable")
    best = WholeNumbers(None, -math.inf, proven=False)
    parts = [size for size in _CORE_SIZES if size < n] or [n] if value.size > _WHOLE else []
    for size, whole in (*((part, False) for part in parts), (n, True)):
        members = np.sort(order[:size])
        pairs = ~np.isneginf(value[members]) & near(loss[members], relaxed.bound - best.value, whole=whole)
        start = relaxed.choice if best.choice is None else best.choice
        pairs[np.arange(members.size), start[members]] = True
        found = _solve(value, rows, relaxed, members, pairs, start, relative_gap, seed, deadline)
        found = replace(found, proven=found.proven and whole)
        if found.value > best.value or found.proven:
            best = found if found.choice is not None else WholeNumbers(best.choice, best.value, proven=found.proven)
        if (
            best.proven
            or relaxed.bound - best.value <= relative_gap * abs(relaxed.bound)
            or time.monotonic() > deadline
        ):
            break
    return best


def near(loss: np.ndarray, below: float, *, whole: bool) -> np.ndarray:
    """Return the pairs, (M, K) bool, that may be part of an answer with a loss of less than ``below``.

    Unless ``whole``, these are at most about three per instruction on average: the pairs with the least ``loss``.
    """
    pairs = loss < below if math.isfinite(below) else np.ones(loss.shape, dtype=bool)
    most = _PAIRS_PER_INSTRUCTION * len(loss)
    if not whole and loss.size > most:
        pairs &= loss <= np.partition(loss, most, axis=None)[most]
    return pairs


def _solve(
    value: np.ndarray,
    rows: list[Row],
    relaxed: Relaxed,
    members: np.ndarray,
    pairs: np.ndarray,
    start: np.ndarray,
    relative_gap: float,
    seed: int,
    deadline: float,
) -> WholeNumbers:
    """Decide ``members`` among ``pairs`` exactly; all other instructions stay at ``start``."""
    n, k = value.shape
    others = np.setdiff1d(np.arange(n), members, assume_unique=True)
    fixed = math.fsum(value[others, start[others]])
    grid = (np.repeat(members, k), np.tile(np.arange(k), members.size))
    usage = [row.at(*grid, value.shape).reshape(members.size, k) for row in rows]
    room = [row.limit - row.total(start, k, others) for row in rows]
    core = Core(pairs, np.where(pairs, value[members], 0.0), rows, usage, room)
    answer = solve_core(
        core,
        most=relaxed.bound - fixed,
        enough=relative_gap * abs(relaxed.bound),
        hint=start[members],
        seed=seed,
        time_limit_s=deadline - time.monotonic(),
    )
    if answer.column is None:
        return WholeNumbers(None, -math.inf, answer.proven)
    choice = start.copy()
    choice[members] = answer.column
    return WholeNumbers(choice, math.fsum(value[np.arange(n), choice]), answer.proven)
