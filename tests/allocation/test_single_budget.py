"""One budget: exactness against brute force, certificates, never an overspend, ties, streams."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from brute_force import best, feasible, total
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.allocation import (
    POLICIES,
    AllocationProblem,
    InfeasibleBudget,
    InfeasibleTarget,
    allocate,
    allocate_chunks,
    frontier,
    least_budget,
)
from routing_assets.allocation.solver.exact import exact_sum, float_not_below
from routing_assets.foundation.errors import InvalidInput


def small_problem(seed: int) -> AllocationProblem:
    """Ties, equal prices, dominated models, float32, a budget hit exactly: each in a good share of the problems."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    success, cost = rng.random((n, k)), rng.random((n, k)) if rng.random() < 0.6 else rng.random(k)
    if rng.random() < 0.4:
        success = np.round(success * 4) / 4
    if rng.random() < 0.4:
        cost = np.round(cost * 3) / 3
    if rng.random() < 0.2:
        success = success.astype(np.float32)
    if rng.random() < 0.2:
        cost = cost.astype(np.float32)
    budget = float(rng.random() * n)
    if rng.random() < 0.3:
        budget = float(np.broadcast_to(cost, (n, k))[np.arange(n), rng.integers(0, k, n)].sum(dtype=np.float64))
    return AllocationProblem(success, cost, budget)


@settings(max_examples=4 * settings().max_examples)
@given(seed=st.integers(0, 2**32))
def test_mip_is_the_optimum_and_infeasibility_is_real(seed: int) -> None:
    problem = small_problem(seed)
    truth = best(problem)
    if truth is None:
        with pytest.raises(InfeasibleBudget) as short:
            allocate(problem)
        relieved = allocate(replace(problem, budget=short.value.cheapest_budget))
        assert feasible(relieved.problem, tuple(relieved.choice.tolist()))
        with pytest.raises(InfeasibleBudget):
            allocate(replace(problem, budget=math.nextafter(short.value.cheapest_budget, 0)))
        return
    answer = allocate(problem, exact=True)
    assert feasible(problem, tuple(answer.choice.tolist()))
    assert answer.expected_success * len(problem) == pytest.approx(truth, abs=1e-9)
    assert answer.status == "optimal"
    assert answer.budget_slack >= 0


@pytest.mark.slow
def test_ten_thousand_random_problems_never_overspend() -> None:
    rng = np.random.default_rng(1)
    solved = 0
    for seed in range(10_000):
        problem = small_problem(seed)
        policy = list(POLICIES)[int(rng.integers(len(POLICIES)))]
        try:
            answer = allocate(problem, policy, target=float(rng.random()), seed=seed)
        except InfeasibleBudget:
            continue
        solved += 1
        spent = total(problem.cost, tuple(answer.choice.tolist()))
        assert spent <= Fraction(problem.budget)
        assert answer.total_cost <= problem.budget
    assert solved > 3_000


@given(seed=st.integers(0, 2**32))
def test_bound_mip_policies_and_single_models_keep_their_order(seed: int) -> None:
    problem = small_problem(seed)
    if best(problem) is None:
        return
    mip = allocate(problem)
    assert mip.upper_bound >= mip.expected_success
    assert mip.gap <= 1e-6
    for policy in ("threshold", "ndch", "ndch_p"):
        try:
            other = allocate(problem, policy)
        except InfeasibleBudget:
            continue
        assert mip.expected_success >= other.expected_success - 1e-6
        assert other.upper_bound >= mip.expected_success - 1e-12
    for k in range(problem.n_models):
        alone = (k,) * len(problem)
        if feasible(problem, alone):
            assert mip.expected_success >= float(total(problem.success, alone)) / len(problem) - 1e-6


def large(n: int, seed: int, kind: str) -> AllocationProblem:
    rng = np.random.default_rng(seed)
    success, cost = rng.random((n, 8), dtype=np.float32), rng.random((n, 8), dtype=np.float32)
    if kind != "plain":
        success = np.round(success * 10) / np.float32(10)
    if kind == "tied":
        cost = np.round(cost[0], 2) + np.float32(0.01)
    budget = 0.3 * n * float(np.atleast_2d(cost).mean(dtype=np.float64))
    return AllocationProblem(success, cost, budget if kind != "tied" else budget * 2)


@pytest.mark.parametrize("kind", ["plain", "bucketed", "tied"])
def test_large_batches_are_certified_and_reproducible(kind: str) -> None:
    problem = large(90_000, 3, kind)  # large enough for the sampled bracket
    answer, again = allocate(problem), allocate(problem)
    assert np.array_equal(answer.choice, again.choice)
    assert answer.gap <= 2e-6  # on a grid of tenths the bound itself may be a tenth of one success out of reach
    worth = problem.success - answer.shadow_price * problem.cost_matrix.astype(np.float64)
    dual = worth.max(axis=1).sum() + answer.shadow_price * problem.budget  # L(p), recomputed
    assert answer.upper_bound == pytest.approx(dual / len(problem), rel=1e-9)
    assert math.fsum(problem.chosen(problem.cost_matrix, answer.choice).tolist()) <= problem.budget


def test_a_budget_of_exactly_the_best_assignment_buys_it_at_every_size() -> None:
    for n in range(1, 300):
        rng = np.random.default_rng(n)
        success, cost = np.sort(rng.random((n, 3)), axis=1), rng.uniform(0.5, 2, (n, 3)) * [1e-5, 1e-3, 3e-2]
        answer = allocate(AllocationProblem(success, cost, float_not_below(exact_sum(cost[:, 2]))))
        assert (answer.choice == 2).all()


def test_forbidden_pairs_are_never_used_and_priced_out() -> None:
    rng = np.random.default_rng(0)
    success = rng.random((200, 4))
    problem = AllocationProblem(success, rng.random(4), 60.0, forbidden=rng.random((200, 4)) < 0.2)
    answer = allocate(problem)
    assert problem.allowed is not None
    assert problem.allowed[np.arange(200), answer.choice].all()
    assert problem.allowed[np.arange(200), answer.runner_up][answer.runner_up >= 0].all()


def test_certificate_has_price_runner_up_and_binding_budget() -> None:
    success = np.array([[0.2, 0.9], [0.4, 0.6], [0.5, 0.5]])
    answer = allocate(AllocationProblem(success, np.array([1.0, 3.0]), 5.0, models=["small", "big"]))
    assert answer.choice.tolist() == [1, 0, 0]
    assert answer.shadow_price == pytest.approx(0.1)  # the next instruction gains 0.2 for 2 USD more
    assert answer.binding == ("budget",)
    assert answer.runner_up.tolist() == [0, 1, 1]
    assert answer.switching_price == pytest.approx([0.5, 0.0, 0.2])
    assert answer.budget_slack == 0.0
    rich = allocate(AllocationProblem(success, np.array([1.0, 3.0]), math.inf))
    assert rich.choice.tolist() == [1, 1, 0]  # of equally good models the cheaper one
    assert (rich.shadow_price, rich.status, rich.gap) == (0.0, "optimal", 0.0)


def test_free_models_answer_a_budget_of_zero() -> None:
    answer = allocate(AllocationProblem(np.array([[0.3, 0.9]]), np.array([0.0, 1.0]), 0.0))
    assert answer.choice.tolist() == [0]
    assert answer.total_cost == 0.0


@given(seed=st.integers(0, 2**32), share=st.floats(0.0, 1.0))
def test_frontier_agrees_with_single_solves(seed: int, share: float) -> None:
    problem = small_problem(seed)
    curve = frontier(problem)
    budget = float(curve.budget[0] + share * (curve.budget[-1] - curve.budget[0]))
    point = frontier(problem, [budget])
    answer = allocate(replace(problem, budget=budget), exact=True)
    assert point.expected_success[0] <= answer.expected_success + 1e-12
    assert answer.expected_success <= point.upper_bound[0] + 1e-9
    assert np.all(np.diff(curve.expected_success) >= -1e-12)
    ends = allocate(replace(problem, budget=math.inf))
    assert curve.expected_success[-1] == pytest.approx(ends.expected_success, abs=1e-12)


def test_a_budget_on_a_breakpoint_of_the_frontier_reaches_it() -> None:
    for seed in range(20):
        curve = frontier(small_problem(seed))
        np.testing.assert_array_equal(curve.at(curve.budget).expected_success, curve.expected_success)
        np.testing.assert_array_equal(curve.at(curve.budget).shadow_price, curve.shadow_price)


@given(seed=st.integers(0, 2**32), wanted=st.floats(0.05, 1.0))
def test_least_budget_is_the_cheapest_that_reaches_the_target(seed: int, wanted: float) -> None:
    problem = small_problem(seed)
    target = Fraction(repr(wanted)) * len(problem)
    costs = [
        total(problem.cost, choice)
        for choice in itertools.product(range(problem.n_models), repeat=len(problem))
        if total(problem.success, choice) >= target
    ]
    if not costs:
        with pytest.raises(InfeasibleTarget):
            least_budget(problem, wanted)
        return
    answer = least_budget(problem, wanted, exact=True)
    assert total(problem.success, tuple(answer.choice.tolist())) >= target
    assert answer.budget == pytest.approx(float(min(costs)), abs=1e-9)
    assert answer.lower_bound <= answer.budget


def test_least_budget_keeps_side_constraints() -> None:
    rng = np.random.default_rng(4)
    problem = AllocationProblem(rng.random((6, 3)), rng.random((6, 3)), math.inf, max_share=[0.5, 0.5, 0.5])
    answer = least_budget(problem, 0.6, exact=True)
    assert np.bincount(answer.choice, minlength=3).max() <= 3
    again = allocate(replace(problem, budget=answer.budget), exact=True)
    assert again.expected_success >= 0.6
    with pytest.raises(InfeasibleTarget):
        least_budget(problem, 0.999)


class Chunks:
    def __init__(self, success: np.ndarray, cost: np.ndarray, size: int) -> None:
        self.success, self.cost, self.size = success, cost, size

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self.success), self.size):
            part = slice(start, start + self.size)
            yield self.success[part], self.cost if self.cost.ndim == 1 else self.cost[part]


@pytest.mark.parametrize("kind", ["plain", "tied"])
def test_chunks_are_decided_as_the_whole(kind: str) -> None:
    problem = large(90_000, 5, kind)
    whole = allocate(problem)
    streamed = allocate_chunks(Chunks(problem.success, problem.cost, 7_000), problem.budget)
    assert streamed.choice.tolist() == whole.choice.tolist()
    assert streamed.upper_bound == whole.upper_bound
    assert math.fsum(problem.chosen(problem.cost_matrix, streamed.choice).tolist()) <= problem.budget


def test_chunks_name_chunk_and_row_and_refuse_generators() -> None:
    bad = np.full((10, 2), 0.5)
    bad[7, 1] = np.nan
    with pytest.raises(InvalidInput, match=r"part 1, row 2, column 'model_1'"):
        allocate_chunks(Chunks(bad, np.ones(2), 5), 100.0)
    with pytest.raises(InvalidInput, match="read only once"):
        allocate_chunks(iter([(bad, np.ones(2))]), 100.0)
    with pytest.raises(InfeasibleBudget) as short:
        allocate_chunks(Chunks(np.full((10, 2), 0.5), np.array([1.0, 2.0]), 3), 9.5)
    assert short.value.cheapest_budget == 10.0


@settings(max_examples=3 * settings().max_examples)
@given(seed=st.integers(0, 2**32), policy=st.sampled_from(list(POLICIES)))
def test_no_switch_costs_less_than_nothing(seed: int, policy: str) -> None:
    """Reduced costs are negative at the margin, under heuristics, and by rounding where two models are equal."""
    problem = small_problem(seed)
    try:
        answer = allocate(problem, policy, seed=seed)
    except InfeasibleBudget:
        return
    assert (answer.switching_price >= 0).all()
    assert not ((answer.switching_price > 0) & (answer.switching_price < 1e-12)).any()
    lost = answer.reduced_cost > 1e-12
    assert (answer.switching_price[lost] == answer.reduced_cost[lost]).all()
    assert (answer.switching_price[~lost] == 0).all()
