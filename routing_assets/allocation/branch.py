"""The whole-number core of a constrained problem, solved by OR-Tools CP-SAT: in integers, so without any tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from ortools.sat.python import cp_model

from routing_assets.allocation.constraints import Row

_EXACT_PAIRS = 400  # up to here every float is taken over bit for bit
_EXACT_BITS = 59
_ROUNDED_BITS = 40  # larger numbers would cost CP-SAT its own linear relaxation
_MAX_LEVEL_FACTOR = 1 << 12


@dataclass(frozen=True, eq=False)
class Core:
    """Some instructions still to be decided, the rest being fixed: (M, K) allowed ``pairs`` and their ``value``.

    ``usage`` has one (M, K) array per row of ``rows``, ``room`` what the fixed instructions leave of its limit.
    """

    pairs: np.ndarray
    value: np.ndarray
    rows: list[Row]
    usage: list[np.ndarray]
    room: list[Fraction]


@dataclass(frozen=True, eq=False)
class CoreAnswer:
    """``column`` (M,) of each core instruction or None; ``proven``: the best there is (or there is truly none)."""

    column: np.ndarray | None
    proven: bool


def solve_core(
    core: Core, *, most: float, enough: float, hint: np.ndarray, seed: int, time_limit_s: float
) -> CoreAnswer:
    """Maximise the core's value. ``most`` is a proven upper bound of it; within ``enough`` of that the search stops.

    Rows are whole numbers on a power-of-two grid, exact for small cores and rounded against the limit for large ones,
    so no answer ever breaks a row.
    """
    model = cp_model.CpModel()
    i, k = np.nonzero(core.pairs)
    x = [model.new_bool_var("") for _ in i]
    first = np.searchsorted(i, np.arange(len(core.pairs) + 1))
    for m in range(len(core.pairs)):
        model.add_exactly_one(x[first[m] : first[m + 1]])
    bits = _EXACT_BITS if i.size <= _EXACT_PAIRS else _ROUNDED_BITS
    _add_rows(model, x, core, i, k, bits)
    value = core.value[i, k]
    exponent = bits - 1 - _bits_of(np.abs(core.value), core.pairs)
    worth = np.rint(np.ldexp(value, exponent)).astype(np.int64)
    objective = cp_model.LinearExpr.weighted_sum(x, worth.tolist())
    model.maximize(objective)
    if math.isfinite(most):
        model.add(objective <= math.ceil(math.ldexp(most, exponent)) + len(core.pairs))
    for m, column in enumerate(hint):
        for j in range(first[m], first[m + 1]):
            model.add_hint(x[j], bool(k[j] == column))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_time_in_seconds = max(time_limit_s, 0.01)
    solver.parameters.absolute_gap_limit = math.ldexp(enough, exponent)
    solver.parameters.relative_gap_limit = 0.0
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return CoreAnswer(None, proven=status == cp_model.INFEASIBLE and bits == _EXACT_BITS)
    chosen = np.array([solver.boolean_value(variable) for variable in x])
    return CoreAnswer(k[chosen], proven=status == cp_model.OPTIMAL and enough == 0)


def _add_rows(
    model: cp_model.CpModel, x: list[cp_model.IntVar], core: Core, i: np.ndarray, k: np.ndarray, bits: int
) -> None:
    sizes = [abs(row.level) for row in core.rows if row.level]
    common = math.lcm(*sizes) if sizes else 1
    level, level_exponent = None, 0
    if sizes:  # all rows with the level share one grid
        level_exponent = (
            bits - 2 - max(common, max(sizes) ** 2).bit_length() if common <= _MAX_LEVEL_FACTOR else bits // 2
        )
        level = model.new_int_var(
            0, common << level_exponent if common <= _MAX_LEVEL_FACTOR else 1 << level_exponent, ""
        )
    for row, used, room in zip(core.rows, core.usage, core.room, strict=True):
        entries = used[i, k]
        exponent = (
            level_exponent if row.level else min(_exact_exponent(entries), bits - _bits_of(np.abs(used), core.pairs))
        )
        factor = common // abs(row.level) if row.level and common <= _MAX_LEVEL_FACTOR else 1
        whole = np.ceil(np.ldexp(entries, exponent)).astype(np.int64) * factor
        limit = math.floor(room * Fraction(2) ** exponent * factor)
        expression = cp_model.LinearExpr.weighted_sum(x, whole.tolist())
        if level is not None and row.level:
            expression += (row.level * factor) * level
        model.add(expression <= max(min(limit, 1 << 61), -(1 << 61)))


def _bits_of(size: np.ndarray, pairs: np.ndarray) -> int:
    """Return b with: any choice's total size is below 2**b."""
    return math.frexp(float(np.where(pairs, size, 0.0).max(axis=1, initial=0.0).sum()))[1]


def _exact_exponent(values: np.ndarray) -> int:
    """Return the least e for which all values x 2**e are whole numbers."""
    mantissa, exponent = np.frexp(values[values != 0])
    if not mantissa.size:
        return 0
    digits = np.ldexp(mantissa, 53).astype(np.int64)
    trailing = np.log2((digits & -digits).astype(np.float64)).astype(np.int64)
    return int((53 - exponent - trailing).max())
