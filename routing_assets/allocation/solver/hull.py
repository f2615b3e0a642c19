"""Upper non-decreasing hulls of (cost, value) points: of the models' means, and of every instruction at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_BLOCK_ROWS = 1 << 13


def upper_hull(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the indices of the vertices of the upper non-decreasing convex hull, cheapest first.

    ``cost`` and ``value`` have shape (K,). Dominated and collinear points are left out; of equal points the first
    stays.
    """
    vertices: list[int] = []
    for k in np.lexsort((np.arange(cost.size), -value, cost)):
        if vertices and value[k] <= value[vertices[-1]]:
            continue
        while len(vertices) >= 2:
            a, b = vertices[-2], vertices[-1]
            if (value[b] - value[a]) * (cost[k] - cost[a]) > (value[k] - value[a]) * (cost[b] - cost[a]):
                break
            vertices.pop()
        vertices.append(int(k))
    return np.array(vertices)


@dataclass(frozen=True)
class Steps:
    """Moves along the instructions' hulls, most efficient first: the linear relaxation takes them in this order.

    All arrays have shape (S,): ``row`` moves from model ``before`` to ``after``, which costs ``weight`` more, is worth
    ``value`` more, and has ``efficiency`` = value / weight.
    """

    row: np.ndarray
    before: np.ndarray
    after: np.ndarray
    weight: np.ndarray
    value: np.ndarray
    efficiency: np.ndarray

    def __len__(self) -> int:
        return int(self.row.size)


def cheapest(value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return each row's lightest column, (M,); of equally light ones the most valuable. A value of -inf forbids."""
    allowed_weight = np.where(np.isneginf(value), np.inf, weight)
    lightest = allowed_weight.min(axis=1, keepdims=True)
    return np.where(allowed_weight == lightest, value, -np.inf).argmax(axis=1)


def most_valuable(value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return each row's most valuable column, (M,); of equally valuable ones the lightest."""
    return np.where(value == value.max(axis=1, keepdims=True), weight, np.inf).argmin(axis=1)


def hull_steps(value: np.ndarray, weight: np.ndarray, start: np.ndarray, floor: float = 0.0) -> Steps:
    """Walk every row's hull upward from column ``start`` while a step's efficiency exceeds ``floor``; sorted.

    ``value`` and ``weight`` are (M, K); -inf value marks a forbidden column. Equally efficient steps keep the order of
    their rows, and a row's own steps stay in order.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    for first in range(0, len(start), _BLOCK_ROWS):
        part = slice(first, first + _BLOCK_ROWS)
        parts += _walk(first, value[part].astype(np.float64), weight[part].astype(np.float64), start[part], floor)
    if not parts:
        return Steps(*(np.empty(0, np.intp) for _ in range(3)), *(np.empty(0) for _ in range(3)))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(-columns[-1], kind="stable")
    return Steps(*(column[order] for column in columns))


def _walk(
    first: int, value: np.ndarray, weight: np.ndarray, start: np.ndarray, floor: float
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield, per round, the step of every row that has a next vertex; of collinear vertices the farthest is next."""
    rows, here = first + np.arange(len(start)), start
    last = np.full(len(start), np.inf)
    while rows.size:
        at = np.arange(rows.size)
        gain = value - value[at, here][:, None]
        extra = weight - weight[at, here][:, None]
        efficiency = np.divide(gain, extra, out=np.full_like(gain, -np.inf), where=extra > 0)
        best = efficiency.max(axis=1)
        after = np.where(efficiency == best[:, None], extra, -np.inf).argmax(axis=1)
        go = best > floor
        at, rows, before, after = at[go], rows[go], here[go], after[go]
        last = np.minimum(best[go], last[go])  # rounding must not reorder the collinear steps of a row
        yield rows, before, after, extra[at, after], gain[at, after], last
        value, weight, here = value[go], weight[go], after
