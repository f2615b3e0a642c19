"""Side constraints at every shape of batch: few and many instructions, one model and a hundred.

A choice that maximises success less priced usage is an optimum under the limits that it just uses up (Everett 1963), so
the truth is known at any size.
"""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import KINDS, feasible, total

from routing_assets.allocation import AllocationProblem, ExtraBudget, allocate
from routing_assets.allocation.solver import near_the_relaxation as constrained
from routing_assets.allocation.solver.exact import exact_sum, float_not_below
from routing_assets.allocation.solver.whole_numbers import CoreAnswer

SHAPES = (
    *((1, 1), (2, 3), (10, 5), (63, 25)),
    *((1, 100), (3, 100)),  # few pairs, so taken bit for bit, of many models each
    *((63, 100), (300, 25)),  # many pairs of fewer instructions than the first pool's sample
    *((2_000, 3), (2_500, 2), (6_500, 1)),  # no more models than pairs are kept for each instruction of a core
)
PRICE = 0.2
ROOM = 1.001  # an optimum that fits to the last float would be a needle in a haystack


def priced_out(n: int, k: int, kind: str) -> tuple[AllocationProblem, np.ndarray]:
    """A problem with one constraint of a kind, and the choice of highest worth at a price, which uses up its limit."""
    rng = np.random.default_rng([n, k])
    rows, group = np.arange(n), np.arange(n) % 2
    success = np.clip(np.linspace(0.4, 0.7, k) - 0.1 * group[:, None] + rng.normal(0, 0.15, (n, k)), 0, 1)
    cost = np.linspace(0.5, 2.0, k) * rng.uniform(0.5, 1.5, (n, 1))
    latency, tokens = rng.random((n, k)), rng.integers(1, 99, n).astype(float)
    previous = rng.integers(-1, k, n)
    forbidden = (rng.random((n, k)) < 0.2) & (np.arange(k) > 0)
    changed = (np.arange(k) != previous[:, None]) & (previous >= 0)[:, None]
    worth = success - PRICE * cost
    first = np.arange(k) == worth.mean(axis=0).argmax()
    last = np.arange(k) == worth.mean(axis=0).argmin()
    size = np.bincount(group, minlength=2)[group]
    charge = {
        "min_share": -1.0 * last,
        "max_share": 1.0 * first,
        "capacity": 1.0 * first,
        "token_capacity": np.outer(tokens / 50, first),
        "mean_latency": latency,
        "max_latency": np.where((latency > 0.9) & (np.arange(k) > 0), np.inf, 0.0),
        "forbidden": np.where(forbidden, np.inf, 0.0),
        "group_floor": -success * group[:, None],
        "max_group_gap": success * (np.where(group == 0, 1.0, -1.0) * n / size / 2)[:, None] if n > 1 else 0.0,
        "extra_budgets": latency,
        "max_changes": 1.0 * changed,
    }[kind]
    choice = (worth - PRICE * charge).argmax(axis=1)
    at = (rows, choice)
    count = np.bincount(choice, minlength=k)
    means = {str(label): success[at][group == label].mean() for label in np.unique(group)}
    limits: dict = {
        "min_share": {"min_share": np.where(last, np.floor(count / n * 1e6) / 1e6, 0.0)},
        "max_share": {"max_share": np.where(first, np.minimum(np.ceil(count / n * 1e6) / 1e6, 1.0), 1.0)},
        "capacity": {"capacity": np.where(first, count, np.inf)},
        "token_capacity": {
            "tokens": tokens,
            "token_capacity": np.where(first, np.bincount(choice, weights=tokens, minlength=k), np.inf),
        },
        "mean_latency": {"latency": latency, "mean_latency": latency[at].mean() * ROOM},
        "max_latency": {"latency": latency, "max_latency": latency[at].max()},
        "forbidden": {"forbidden": forbidden},
        "group_floor": {"group": group, "group_floor": {label: mean / ROOM for label, mean in means.items()}},
        "max_group_gap": {"group": group, "max_group_gap": (max(means.values()) - min(means.values())) * ROOM},
        "extra_budgets": {"extra_budgets": (ExtraBudget("gpu", latency, latency[at].sum() * ROOM),)},
        "max_changes": {"previous": previous, "max_changes": int(changed[at].sum())},
    }[kind]
    return AllocationProblem(success, cost, cost[at].sum() * ROOM, **limits), choice


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_every_constraint_is_kept_and_certified_at_every_size(n: int, k: int, kind: str) -> None:
    problem, choice = priced_out(n, k, kind)
    answer = allocate(problem, time_limit_s=5.0)
    assert feasible(problem, tuple(answer.choice.tolist()))
    truth = float(total(problem.success, tuple(choice.tolist()))) / n
    assert answer.expected_success >= truth * 0.99
    assert answer.upper_bound >= max(truth, answer.expected_success) - 1e-12


@pytest.mark.parametrize("k", [1, 2, 3, 4, 300])
def test_a_core_keeps_few_pairs_of_many_models_and_the_last_one_all(k: int) -> None:
    loss = np.random.default_rng(k).random((63, k))
    few, all_below = constrained.near(loss, np.inf, whole=False), constrained.near(loss, 0.5, whole=True)
    assert few.sum() == min(loss.size, 3 * 63 + 1)
    assert k <= 3 or loss[few].max() < loss[~few].min()
    np.testing.assert_array_equal(all_below, loss < 0.5)


def test_the_answer_among_many_models_has_a_small_gap() -> None:
    problem, choice = priced_out(63, 300, "max_changes")
    answer = allocate(problem)
    assert answer.expected_success >= problem.chosen(problem.success, choice).mean() * 0.99


@pytest.mark.parametrize("kind", ["max_share", "mean_latency", "max_changes"])
def test_where_the_search_finds_nothing_the_relaxation_answers_if_it_keeps_every_limit(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constrained, "solve_core", lambda core, **limits: CoreAnswer(None, proven=False))
    problem, choice = priced_out(100, 40, kind)
    answer = allocate(problem)
    assert feasible(problem, tuple(answer.choice.tolist()))
    assert answer.expected_success >= problem.chosen(problem.success, choice).mean() * 0.99


@pytest.mark.parametrize(("n", "k"), [(5, 3), (100, 4), (1_400, 3)])
def test_a_budget_of_what_the_only_assignment_costs_pays_for_it(n: int, k: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng([seed, n])
        cost = rng.random((n, k)) * np.geomspace(1e-5, 3e-3, k)
        budget = float_not_below(exact_sum(cost[:, -1]))
        only = [0.0] * (k - 1) + [1.0]
        answer = allocate(AllocationProblem(rng.random((n, k)), cost, budget, min_share=only))
        assert set(answer.choice.tolist()) == {k - 1}
