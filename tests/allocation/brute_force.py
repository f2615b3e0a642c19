"""The truth for small problems: every assignment tried, every constraint checked in fractions from its definition."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from routing_assets.allocation import AllocationProblem

KINDS = (
    "min_share",
    "max_share",
    "capacity",
    "token_capacity",
    "mean_latency",
    "max_latency",
    "forbidden",
    "group_floor",
    "max_group_gap",
    "extra_budgets",
    "max_changes",
)
"""Every side constraint of a problem, by the field that sets it."""


def decimal(value: float) -> Fraction:
    return Fraction(repr(float(value)))


def total(matrix: np.ndarray, choice: tuple[int, ...]) -> Fraction:
    full = np.broadcast_to(matrix, (len(choice), matrix.shape[-1]))
    return sum((Fraction(float(full[i, k])) for i, k in enumerate(choice)), Fraction(0))


def feasible(p: AllocationProblem, choice: tuple[int, ...]) -> bool:
    """Check every constraint straight from its definition."""
    n, k = len(choice), p.n_models
    counts = [choice.count(j) for j in range(k)]
    checks = [
        math.isinf(p.budget) or total(p.cost, choice) <= Fraction(p.budget),
        p.forbidden is None or not any(p.forbidden[i, j] for i, j in enumerate(choice)),
        p.min_share is None or all(counts[j] >= decimal(p.min_share[j]) * n for j in range(k)),
        p.max_share is None or all(counts[j] <= decimal(p.max_share[j]) * n for j in range(k)),
        p.capacity is None or all(counts[j] <= p.capacity[j] for j in range(k)),
        p.max_changes is None
        or sum(before >= 0 and before != now for before, now in zip(p.previous, choice, strict=True)) <= p.max_changes,
        all(total(np.asarray(e.usage), choice) <= Fraction(e.limit) for e in p.extra_budgets),
    ]
    if p.latency is not None:
        latency = np.broadcast_to(p.latency, (n, k))
        checks.append(p.max_latency is None or all(latency[i, j] <= p.max_latency for i, j in enumerate(choice)))
        checks.append(p.mean_latency is None or total(latency, choice) <= Fraction(p.mean_latency) * n)
    if p.token_capacity is not None:
        tokens = np.broadcast_to(p.tokens, (n, k))
        checks += [
            math.isinf(p.token_capacity[j])
            or sum(Fraction(float(tokens[i, j])) for i in range(n) if choice[i] == j) <= Fraction(p.token_capacity[j])
            for j in range(k)
        ]
    if p.group is not None:
        means = {}
        for label in np.unique(p.group):
            rows = np.flatnonzero(p.group == label)
            means[str(label)] = sum(Fraction(float(p.success[i, choice[i]])) for i in rows) / rows.size
        checks += [means[label] >= decimal(floor) for label, floor in (p.group_floor or {}).items()]
        if p.max_group_gap is not None:
            checks.append(max(means.values()) - min(means.values()) <= decimal(p.max_group_gap))
    return all(checks)


def best(p: AllocationProblem) -> float | None:
    """Return the greatest total success of any feasible assignment, None where there is none."""
    values = [
        total(p.success, choice)
        for choice in itertools.product(range(p.n_models), repeat=len(p))
        if feasible(p, choice)
    ]
    return float(max(values)) if values else None


def cheapest(p: AllocationProblem) -> Fraction | None:
    """Return the least cost of any assignment that keeps everything but the budget."""
    free = replace(p, budget=math.inf)
    costs = [
        total(p.cost, choice)
        for choice in itertools.product(range(p.n_models), repeat=len(p))
        if feasible(free, choice)
    ]
    return min(costs, default=None)
