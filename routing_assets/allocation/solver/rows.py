"""Every constraint but "one model per instruction", as a linear row with an exact limit.

A row says  sum_i usage[i, x_i] + level * t <= limit  where t is one free number shared by all rows: the level around
which ``max_group_gap`` holds the groups' mean success.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from routing_assets.allocation.problem import AllocationProblem, PerModel
from routing_assets.allocation.solver.exact import exact_sum


@dataclass(frozen=True, eq=False)
class Row:
    """One linear row. ``usage`` broadcasts to (members, K), or to (members,) where only ``column`` is concerned."""

    name: str
    usage: np.ndarray
    limit: Fraction
    column: int | None = None
    members: np.ndarray | None = None
    """Instructions concerned, increasing; all of them where None."""
    level: int = 0

    def subtract(self, worth: np.ndarray, price: float) -> None:
        """Charge ``price`` per unit of usage to (N, K) ``worth``, in place."""
        rows = slice(None) if self.members is None else self.members
        if self.column is None:
            worth[rows] -= price * self.usage
        else:
            worth[rows, self.column] -= price * self.usage

    def at(self, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return the usage of the pairs (rows[j], columns[j]), (J,)."""
        concerned = np.ones(rows.size, bool)
        position = rows
        if self.members is not None:
            position = np.minimum(np.searchsorted(self.members, rows), self.members.size - 1)
            concerned = self.members[position] == rows
        size = shape[0] if self.members is None else self.members.size
        if self.column is None:
            used = np.broadcast_to(self.usage, (size, shape[1]))[np.where(concerned, position, 0), columns]
        else:
            concerned &= columns == self.column
            used = np.broadcast_to(self.usage, (size,))[np.where(concerned, position, 0)]
        return np.where(concerned, used, 0.0).astype(np.float64)

    def total(self, choice: np.ndarray, k: int, rows: np.ndarray | None = None) -> Fraction:
        """Return the exact usage of a choice, over all instructions or some ``rows`` of it."""
        if rows is None:
            rows = np.arange(choice.size)
        return exact_sum(self.at(rows, choice[rows], (choice.size, k)))


def rows_of(problem: AllocationProblem) -> list[Row]:
    """Return all constraints of a problem, the budget first where it is finite."""
    return [
        *([Row("budget", problem.cost, Fraction(problem.budget))] if math.isfinite(problem.budget) else []),
        *_extra_budgets(problem),
        *_per_model(problem),
        *_batch(problem),
        *_groups(problem),
    ]


def decimal(value: float) -> Fraction:
    """Return the number a person wrote, for shares and floors: 0.3 is three tenths, not the float next to it."""
    return Fraction(repr(float(value)))


def _extra_budgets(problem: AllocationProblem) -> Iterator[Row]:
    for extra in problem.extra_budgets:
        if math.isfinite(extra.limit):
            name = extra.constraint or f"extra_budget[{extra.name}]"
            yield Row(name, np.asarray(extra.usage, np.float64), Fraction(extra.limit))


def _per_model(problem: AllocationProblem) -> Iterator[Row]:
    n, one = len(problem), np.ones(1)
    least, most = _limits(problem.min_share, problem, 0.0), _limits(problem.max_share, problem, 1.0)
    count = _limits(problem.capacity, problem, math.inf)
    tokens = _limits(problem.token_capacity, problem, math.inf)
    for k, name in enumerate(problem.models or ()):
        if least[k] > 0:
            yield Row(f"min_share[{name}]", -one, Fraction(-math.ceil(decimal(least[k]) * n)), k)
        if most[k] < 1:
            yield Row(f"max_share[{name}]", one, Fraction(math.floor(decimal(most[k]) * n)), k)
        if count[k] < n:
            yield Row(f"capacity[{name}]", one, Fraction(math.floor(count[k])), k)
        if problem.tokens is not None and math.isfinite(tokens[k]):
            used = problem.tokens[:, min(k, problem.tokens.shape[1] - 1)]
            yield Row(f"token_capacity[{name}]", used.astype(np.float64), Fraction(tokens[k]), k)


def _limits(values: PerModel | None, problem: AllocationProblem, default: float) -> list[float]:
    """Return one limit per model; validation has put them in the models' order."""
    return [default] * problem.n_models if values is None else np.asarray(values).tolist()


def _batch(problem: AllocationProblem) -> Iterator[Row]:
    if problem.mean_latency is not None and math.isfinite(problem.mean_latency):
        yield Row(
            "mean_latency", np.asarray(problem.latency, np.float64), Fraction(problem.mean_latency) * len(problem)
        )
    if problem.max_changes is not None and problem.previous is not None:
        known = np.flatnonzero(problem.previous >= 0)
        if known.size:
            changed = np.ones((known.size, problem.n_models))
            changed[np.arange(known.size), problem.previous[known]] = 0.0
            yield Row("max_changes", changed, Fraction(problem.max_changes), members=known)


def _groups(problem: AllocationProblem) -> Iterator[Row]:
    if problem.group is None:
        return
    for label in np.unique(problem.group):
        members = np.flatnonzero(problem.group == label)
        floor = (problem.group_floor or {}).get(str(label))  # type: ignore[union-attr]
        success = problem.success[members].astype(np.float64)
        if floor is not None and floor > 0:
            yield Row(f"group_floor[{label}]", -success, -decimal(floor) * members.size, members=members)
        if problem.max_group_gap is not None:
            gap = decimal(problem.max_group_gap) * members.size
            yield Row(f"max_group_gap[{label}, above]", success, gap, members=members, level=-members.size)
            yield Row(f"max_group_gap[{label}, below]", -success, Fraction(0), members=members, level=members.size)


def broken(rows: list[Row], choice: np.ndarray, k: int) -> list[str]:
    """Return the names of the rows a choice breaks, compared exactly."""
    level = _best_level(rows, choice, k)
    return [row.name for row in rows if row.total(choice, k) + row.level * level > row.limit]


def _best_level(rows: list[Row], choice: np.ndarray, k: int) -> Fraction:
    """Return the highest level that the rows bounding it from above allow: the least group mean."""
    bounds = [(row.limit - row.total(choice, k)) / row.level for row in rows if row.level > 0]
    return min(bounds, default=Fraction(0))
