"""The linear relaxation under many constraints, solved over the few pairs that matter (sifting).

With one price per row the dual splits into the instructions:

    L(p) = sum_r p_r limit_r + sum_i max_k (v[i, k] - sum_r p_r usage_r[i, k])  >=  optimum   for every p >= 0.

A linear program over a pool of promising pairs gives prices; pairs outside the pool that beat their instruction's best
at those prices join it; when none does, pool and whole problem have the same optimum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from ortools.math_opt import model_pb2
from ortools.math_opt.python import mathopt

from routing_assets.allocation.solver.rows import Row

_ROUNDS = 60
_SAMPLE = 512
_WHOLE = 6_000  # pairs: up to this size the pool holds them all
_PENALTY = 1e2  # value per scaled unit of violation while rows may still be broken
_PROHIBITIVE = 1e6
_TOLERANCE = 1e-9
_VIOLATED = 1e-7  # scaled units; anything less is left to the exact whole-number stage
_DUAL_SIMPLEX = mathopt.SolveParameters(
    lp_algorithm=mathopt.LPAlgorithm.DUAL_SIMPLEX
)  # half the time of GLOP's default


@dataclass(frozen=True, eq=False)
class Relaxed:
    """Optimum of the linear relaxation."""

    prices: np.ndarray
    """(R,) value per unit of each row's limit, not negative."""
    worth: np.ndarray
    """(N, K) value less priced usage."""
    bound: float
    """L(prices): no choice that keeps the rows has more value."""
    choice: np.ndarray
    """(N,) the pair with the greatest share."""
    split: np.ndarray
    """(N,) bool, True where the solution divides the instruction between models."""
    feasible: bool
    """False where not even fractions of instructions keep all rows."""


def relax(value: np.ndarray, rows: list[Row], seed: int) -> Relaxed:
    """Solve the relaxation of (N, K) ``value`` (-inf where forbidden) under ``rows``."""
    unit = float(np.abs(value, where=np.isfinite(value), out=np.zeros_like(value)).max()) or 1.0
    scaled = value / unit
    pool = _first_pool(scaled, rows, seed)
    found, violation = _sift(scaled, rows, pool, _PENALTY)
    if violation > _TOLERANCE * len(value):
        nothing = np.where(np.isneginf(value), -np.inf, 0.0)
        proof, violation = _sift(nothing, rows, pool, 1.0)
        if violation > _VIOLATED:
            return replace(proof, bound=-math.inf, feasible=False)
        found, _ = _sift(scaled, rows, pool, _PROHIBITIVE)
    return replace(found, prices=found.prices * unit, worth=found.worth * unit, bound=found.bound * unit)


def _first_pool(value: np.ndarray, rows: list[Row], seed: int) -> np.ndarray:
    """Return the (N, K) bool pool to begin with: the best pairs at the prices of a small sample."""
    n = len(value)
    if value.size <= _WHOLE:
        return ~np.isneginf(value)
    sample = np.sort(np.random.default_rng(seed).choice(n, min(_SAMPLE, n), replace=False))
    pairs = np.zeros(value.shape, bool)
    pairs[sample] = ~np.isneginf(value[sample])
    prices = _solve_pool(value, rows, pairs, sample, _PENALTY)[0]
    worth = potential(value, rows, prices)
    behind = worth.max(axis=1, keepdims=True) - worth
    pool = _smallest(behind, n + n // 2)
    pool[np.arange(n), worth.argmax(axis=1)] = True
    return pool


def _sift(value: np.ndarray, rows: list[Row], pool: np.ndarray, penalty: float) -> tuple[Relaxed, float]:
    """Solve over the pool and let better pairs join it (in place) until none do; also return the violation."""
    everyone, best_bound, best_worth = np.arange(len(value)), math.inf, value
    for _ in range(_ROUNDS):
        prices, share, violation = _solve_pool(value, rows, pool, everyone, penalty)
        worth = potential(value, rows, prices)
        inside = np.where(pool, worth, -np.inf).max(axis=1, keepdims=True)
        joins = (worth > inside + _TOLERANCE) & ~pool
        if not joins.any():
            break
        bound = dual_bound(worth, rows, prices)
        if bound < best_bound:
            best_bound, best_worth = bound, worth
        pool |= _nearest(joins, best_worth, most=len(value) // 2 + 1)
    choice = share.argmax(axis=1)
    split = share[everyone, choice] < 1 - 1e-6
    return Relaxed(prices, worth, dual_bound(worth, rows, prices), choice, split, feasible=True), violation


def _nearest(pairs: np.ndarray, worth: np.ndarray, most: int) -> np.ndarray:
    """Keep those ``pairs`` (N, K) that lose least at the best prices so far: prices far off would add too many."""
    if np.count_nonzero(pairs) <= most:
        return pairs
    behind = np.where(pairs, worth.max(axis=1, keepdims=True) - worth, np.inf)
    return pairs & _smallest(behind, most)


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """Return a bool mask of exactly ``count`` smallest entries, whatever ties there are at the last one."""
    if count >= values.size:
        return np.ones(values.shape, bool)
    mask = np.zeros(values.size, bool)
    mask[np.argpartition(values.reshape(-1), count)[:count]] = True
    return mask.reshape(values.shape)


def potential(value: np.ndarray, rows: list[Row], prices: np.ndarray) -> np.ndarray:
    """Return value less priced usage, (N, K)."""
    worth = value.copy()
    for row, price in zip(rows, prices, strict=True):
        if price:
            row.subtract(worth, price)
    return worth


def dual_bound(worth: np.ndarray, rows: list[Row], prices: np.ndarray) -> float:
    """Return L(p) for the prices that ``worth`` was charged with."""
    limits = (price * float(row.limit) for row, price in zip(rows, prices, strict=True))
    return math.fsum(worth.max(axis=1)) + math.fsum(limits)


def _solve_pool(
    value: np.ndarray, rows: list[Row], pool: np.ndarray, members: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Solve the linear program over the pool's pairs of some instructions, with their share of every limit.

    Returns prices (R,), shares (N, K) and the scaled violation. Instructions with a single pair are constants.
    """
    fraction = members.size / len(value)
    alone = np.zeros(len(value), bool)
    alone[members] = pool[members].sum(axis=1) == 1
    fixed_i, fixed_k = np.nonzero(pool & alone[:, None])
    i, k = np.nonzero(pool & ~alone[:, None])
    scale = np.array([float(np.abs(row.usage).max(initial=0.0)) or 1.0 for row in rows])
    fixed = [math.fsum(row.at(fixed_i, fixed_k, value.shape)) for row in rows]
    room = np.array([float(row.limit) * fraction - used for row, used in zip(rows, fixed, strict=True)]) / scale
    usage = [row.at(i, k, value.shape) / s for row, s in zip(rows, scale, strict=True)]
    level = np.array([row.level for row in rows]) * fraction / scale
    model = _model(value[i, k], i, usage, level, room, penalty)
    result = mathopt.solve(model, mathopt.SolverType.GLOP, params=_DUAL_SIMPLEX)
    solution = result.variable_values()
    x = np.fromiter(solution.values(), float, len(solution))
    duals = result.dual_values()
    prices = np.fromiter((duals[row] for row in list(model.linear_constraints())[: len(rows)]), float, len(rows))
    share = np.zeros(value.shape)
    share[fixed_i, fixed_k] = 1.0
    share[i, k] = x[: i.size]
    return np.maximum(prices, 0.0) / scale, share, float(x[i.size + 1 :].sum())


def _model(
    value: np.ndarray,
    instruction: np.ndarray,
    usage: list[np.ndarray],
    level: np.ndarray,
    room: np.ndarray,
    penalty: float,
) -> mathopt.Model:
    """Variables: a share per pair, the free level, a violation per row. Rows: constraints, then instructions."""
    pairs, r = value.size, len(usage)
    _, group = np.unique(instruction, return_inverse=True)
    n = int(group.max(initial=-1)) + 1
    proto = model_pb2.ModelProto()
    count = pairs + 1 + r
    proto.variables.ids.extend(range(count))
    free = np.inf if level.any() else 0.0
    proto.variables.lower_bounds.extend([0.0] * pairs + [-free] + [0.0] * r)
    proto.variables.upper_bounds.extend([np.inf] * pairs + [free] + [np.inf] * r)
    proto.variables.integers.extend([False] * count)
    proto.objective.maximize = True
    proto.objective.linear_coefficients.ids.extend(range(count))
    proto.objective.linear_coefficients.values.extend([*value.tolist(), 0.0, *([-penalty] * r)])
    proto.linear_constraints.ids.extend(range(r + n))
    proto.linear_constraints.lower_bounds.extend([-np.inf] * r + [1.0] * n)
    proto.linear_constraints.upper_bounds.extend([*room.tolist(), *([1.0] * n)])
    matrix = proto.linear_constraint_matrix
    for j in range(r):
        used = np.flatnonzero(usage[j])
        columns, entries = used.tolist(), usage[j][used].tolist()
        if level[j]:
            columns, entries = [*columns, pairs], [*entries, float(level[j])]
        columns, entries = [*columns, pairs + 1 + j], [*entries, -1.0]
        matrix.row_ids.extend([j] * len(columns))
        matrix.column_ids.extend(columns)
        matrix.coefficients.extend(entries)
    matrix.row_ids.extend((r + group).tolist())
    matrix.column_ids.extend(range(pairs))
    matrix.coefficients.extend([1.0] * pairs)
    return mathopt.Model.from_model_proto(proto)
