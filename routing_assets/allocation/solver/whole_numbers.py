"""The whole-number core of a constrained problem, solved by OR-Tools CP-SAT: in integers, so without any tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from ortools.sat.python import cp_model

from routing_assets.allocation.solver.rows import Row

_FINE_PAIRS = 400  # up to this many pairs most floats are represented exactly
_FINE_BITS = 59
_VALUE_BITS = 44
_ROUNDED_BITS = 40  # with larger numbers CP-SAT goes without its own linear relaxation
_PAIRS_BITS = 62  # CP-SAT refuses rows whose pairs could sum to more, although only one per instruction is chosen
_MAX_COMMON = 1 << 12


@dataclass(frozen=True, eq=False)
class Core:
    """The M instructions still to be decided, all others being fixed: (M, K) allowed ``pairs`` and their ``value``.

    ``usage`` has one (M, K) array per row of ``rows``, ``room`` what the fixed instructions leave of its limit.
    """

    pairs: np.ndarray
    value: np.ndarray
    rows: list[Row]
    usage: list[np.ndarray]
    room: list[Fraction]


@dataclass(frozen=True, eq=False)
class CoreAnswer:
    """``column`` (M,) of each instruction, or None. ``proven``: no better answer exists, or none at all."""

    column: np.ndarray | None
    proven: bool


def solve_core(
    core: Core, *, most: float, enough: float, hint: np.ndarray, seed: int, time_limit_s: float
) -> CoreAnswer:
    """Maximise the core's value. ``most`` is a proven upper bound; the search stops within ``enough`` of it.

    Rows are whole numbers on a power-of-two grid, rounded against the limit where 64 bits do not hold them exactly, so
    no answer ever breaks a row; small cores get a finer grid.
    """
    model = cp_model.CpModel()
    i, k = np.nonzero(core.pairs)
    x = [model.new_bool_var("") for _ in i]
    first = np.searchsorted(i, np.arange(len(core.pairs) + 1))
    for m in range(len(core.pairs)):
        model.add_exactly_one(x[first[m] : first[m + 1]])
    bits = _FINE_BITS if i.size <= _FINE_PAIRS else _ROUNDED_BITS
    exact = _add_rows(model, x, core, i, k, bits)
    value = core.value[i, k]
    exponent = _VALUE_BITS - _bits_of(np.abs(core.value), core.pairs)
    worth = np.rint(np.ldexp(value, exponent)).astype(np.int64)
    objective = cp_model.LinearExpr.weighted_sum(x, worth.tolist())
    model.maximize(objective)
    if math.isfinite(most):
        slack = 1e-9 * (1 + abs(most))  # the bound itself is a float
        model.add(objective <= math.ceil(math.ldexp(most + slack, exponent)))
    for m, column in enumerate(hint):
        for j in range(first[m], first[m + 1]):
            model.add_hint(x[j], bool(k[j] == column))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_time_in_seconds = max(time_limit_s, 0.01)
    solver.parameters.absolute_gap_limit = math.ldexp(enough, exponent)
    solver.parameters.relative_gap_limit = 0.0
    # Presolve of CP-SAT 9.15 cuts off optima where a row of large numbers is parallel to the objective (group floors).
    solver.parameters.cp_model_presolve = False
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return CoreAnswer(None, proven=status == cp_model.INFEASIBLE and exact)
    chosen = np.array([solver.boolean_value(variable) for variable in x])
    return CoreAnswer(k[chosen], proven=status == cp_model.OPTIMAL and enough == 0)


def _add_rows(
    model: cp_model.CpModel, x: list[cp_model.IntVar], core: Core, i: np.ndarray, k: np.ndarray, bits: int
) -> bool:
    """Add every row; return whether none was rounded, so that "infeasible" is true of the unrounded rows as well."""
    level, exact = _level(model, core, bits), True
    for row, used, room in zip(core.rows, core.usage, core.room, strict=True):
        size, pairs_size = _bits_of(np.abs(used), core.pairs), math.frexp(float(np.abs(used[i, k]).sum()))[1]
        finest = _exact_exponent(used[i, k])
        exponent, factor = min(finest, bits - size, _PAIRS_BITS - pairs_size), 1
        if row.level:
            exponent, factor = level.exponent, level.common // abs(row.level) or 1
        exact = exact and exponent >= finest and level.common > 0
        whole = np.ceil(np.ldexp(used[i, k], exponent)).astype(np.int64) * factor
        limit = math.floor(room * Fraction(2) ** exponent * factor)
        expression = cp_model.LinearExpr.weighted_sum(x, whole.tolist())
        least, most = int(np.minimum(whole, 0).sum()), int(np.maximum(whole, 0).sum())
        if row.level:
            weight = row.level * factor // (level.common or 1)
            expression += weight * level.variable
            reach = weight * (max(level.common, 1) << level.exponent)
            least, most = least + min(reach, 0), most + max(reach, 0)
        # Tight bounds: CP-SAT scales the domains of parallel rows and overflows beyond 64 bits.
        model.add_linear_constraint(expression, least, max(min(limit, most), least - 1))
    return exact


@dataclass(frozen=True, eq=False)
class _Level:
    """The free level in whole units of 1 / (common x 2**exponent), or of 1 / 2**exponent where ``common`` is 0."""

    variable: cp_model.IntVar
    exponent: int
    common: int


def _level(model: cp_model.CpModel, core: Core, bits: int) -> _Level:
    """Return the level on a grid that holds every group's mean exactly if the groups' sizes allow it."""
    sizes = [abs(row.level) for row in core.rows if row.level] or [1]
    common = math.lcm(*sizes)
    if common > _MAX_COMMON:
        exponent = (bits - max(sizes).bit_length()) // 2
        return _Level(model.new_int_var(0, 1 << exponent, ""), exponent, 0)
    exponent = bits - 1 - (common * max(sizes)).bit_length()
    exponent = min(exponent, _PAIRS_BITS - (common * (core.pairs.shape[1] + 1)).bit_length())
    return _Level(model.new_int_var(0, common << exponent, ""), exponent, common)


def _bits_of(size: np.ndarray, pairs: np.ndarray) -> int:
    """Return the least b such that no choice of allowed pairs has a total size of 2**b or more."""
    return math.frexp(float(np.where(pairs, size, 0.0).max(axis=1, initial=0.0).sum()))[1]


def _exact_exponent(values: np.ndarray) -> int:
    """Return the least e for which all values x 2**e are whole numbers."""
    mantissa, exponent = np.frexp(values[values != 0])
    if not mantissa.size:
        return 0
    digits = np.ldexp(mantissa, 53).astype(np.int64)
    trailing = np.log2((digits & -digits).astype(np.float64)).astype(np.int64)
    return int((53 - exponent - trailing).max())
