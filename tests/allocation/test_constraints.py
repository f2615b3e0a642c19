"""Side constraints, alone and combined, against brute force; and the reasons given when nothing keeps them all."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from brute_force import KINDS, best, cheapest, feasible
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.allocation import (
    AllocationProblem,
    ExtraBudget,
    InfeasibleBudget,
    InfeasibleConstraints,
    allocate,
)


def random_problem(seed: int, kinds: tuple[str, ...]) -> AllocationProblem:
    """A small problem whose constraints bite about as often as not; a third are coarse, so full of ties."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    success, cost = rng.random((n, k)), rng.random((n, k)) if rng.random() < 0.5 else rng.random(k)
    if rng.random() < 0.35:
        success, cost = np.round(success * 4) / 4, np.round(cost * 4) / 4
    latency = np.round(rng.random((n, k)), 1)
    fields: dict = {
        "min_share": {"min_share": np.round(rng.random(k) * 0.4, 1)},
        "max_share": {"max_share": np.round(0.3 + rng.random(k) * 0.7, 1)},
        "capacity": {"capacity": [None if rng.random() < 0.3 else int(rng.integers(0, n + 1)) for _ in range(k)]},
        "token_capacity": {
            "tokens": rng.integers(1, 9, n).astype(float),
            "token_capacity": rng.integers(0, 5 * n + 1, k).astype(float),
        },
        "mean_latency": {"latency": latency, "mean_latency": float(np.round(rng.random(), 1))},
        "max_latency": {"latency": latency, "max_latency": float(np.round(0.3 + 0.7 * rng.random(), 1))},
        "forbidden": {"forbidden": rng.random((n, k)) < 0.2},
        "group_floor": {"group_floor": float(np.round(rng.random() * 0.7, 1))},
        "max_group_gap": {"max_group_gap": float(np.round(rng.random() * 0.5, 1))},
        "extra_budgets": {"extra_budgets": (ExtraBudget("gpu", rng.random((n, k)), float(rng.random() * n)),)},
        "max_changes": {"previous": rng.integers(-1, k, n), "max_changes": int(rng.integers(0, n + 1))},
    }
    chosen: dict = {"group": rng.integers(0, 2, n)}
    for kind in kinds:
        chosen |= fields[kind]
    budget = math.inf if rng.random() < 0.15 else float(rng.random() * n)
    if rng.random() < 0.2:  # no slack at all
        picked = rng.integers(0, k, n)
        budget = float(np.broadcast_to(cost, (n, k))[np.arange(n), picked].sum())
    return AllocationProblem(success, cost, budget, **chosen)


def check_against_brute_force(problem: AllocationProblem) -> None:
    truth = best(problem)
    try:
        answer = allocate(problem, exact=True)
    except (InfeasibleBudget, InfeasibleConstraints) as reason:
        answer, why = None, reason
    if answer is None:
        check_infeasible(problem, truth, why)
        return
    assert truth is not None
    assert feasible(problem, tuple(answer.choice.tolist()))
    assert answer.expected_success * len(problem) == pytest.approx(truth, abs=1e-9)
    assert answer.status == "optimal"


def check_infeasible(
    problem: AllocationProblem, truth: float | None, why: InfeasibleBudget | InfeasibleConstraints
) -> None:
    """The problem really has no answer, and with the named budget or without the named constraint it has one."""
    assert truth is None
    if isinstance(why, InfeasibleBudget):
        relieved = allocate(replace(problem, budget=why.cheapest_budget), exact=True)
        assert feasible(relieved.problem, tuple(relieved.choice.tolist()))
        assert why.cheapest_budget == pytest.approx(float(cheapest(problem)), rel=1e-12)
    else:
        assert cheapest(problem) is None
        check_conflict(problem, why)


def check_conflict(problem: AllocationProblem, error: InfeasibleConstraints) -> None:
    """The named set alone is contradictory, and dropping any one of it is not."""
    assert best(only(problem, error.conflict)) is None
    for name in error.conflict:
        assert best(only(problem, tuple(other for other in error.conflict if other != name))) is not None


def only(problem: AllocationProblem, names: tuple[str, ...]) -> AllocationProblem:
    """The same problem with no budget and no constraints but the named ones."""
    models = problem.models or ()

    def kept(field: str, values: np.ndarray | None, default: float) -> list | None:
        if values is None:
            return None
        return [v if f"{field}[{m}]" in names else default for m, v in zip(models, values, strict=True)]

    floors = {label: v for label, v in (problem.group_floor or {}).items() if f"group_floor[{label}]" in names}
    return replace(
        problem,
        budget=math.inf,
        min_share=kept("min_share", problem.min_share, 0.0),
        max_share=kept("max_share", problem.max_share, 1.0),
        capacity=kept("capacity", problem.capacity, math.inf),
        token_capacity=kept("token_capacity", problem.token_capacity, math.inf),
        mean_latency=problem.mean_latency if "mean_latency" in names else None,
        max_latency=problem.max_latency if "max_latency" in names else None,
        forbidden=problem.forbidden if "forbidden" in names else None,
        group_floor=floors or None,
        max_group_gap=problem.max_group_gap if "max_group_gap" in names else None,
        extra_budgets=tuple(e for e in problem.extra_budgets if f"extra_budget[{e.name}]" in names),
        max_changes=problem.max_changes if "max_changes" in names else None,
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=settings().max_examples * 2 // 5)  # of each kind
@given(seed=st.integers(0, 2**32))
def test_each_constraint_alone_matches_brute_force(kind: str, seed: int) -> None:
    check_against_brute_force(random_problem(seed, (kind,)))


@given(seed=st.integers(0, 2**32), kinds=st.sets(st.sampled_from(KINDS), min_size=2, max_size=6))
def test_constraints_combined_match_brute_force(seed: int, kinds: set[str]) -> None:
    check_against_brute_force(random_problem(seed, tuple(sorted(kinds))))
