"""Side constraints over two rounds, against brute force on small random batches."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from routing_assets.allocation import ExtraBudget, InfeasibleAllocation
from routing_assets.allocation.second_look import decide_second_round, plan_first_round
from routing_assets.foundation.errors import InvalidInput

N, K = 4, 3
MODELS = ("small", "middle", "big")
FIRST = np.array([0, 1])
HAIR = 1e-9


class Table:
    """Looks that do not depend on the price."""

    def __init__(self, value, usage, calls):
        self.value, self.usage, self.expected = value, usage, calls

    def __call__(self, price):
        return self.value, self.usage

    def calls(self, price):
        return self.expected

    def at(self, rows):
        return Table(self.value[rows], self.usage[rows], self.expected[rows])


def batch(seed):
    rng = np.random.default_rng(seed)
    cost = np.array([0.1, 0.5, 1.0]) * rng.uniform(0.5, 1.5, (N, K))
    calls = rng.uniform(0, 0.5, (N, 2, K))
    calls[:, np.arange(2), FIRST] = 0.0
    usage = cost[:, FIRST] + np.einsum("njk,nk->nj", calls, cost)
    return rng.random((N, K)), cost, Table(rng.random((N, 2)), usage, calls), rng


def constraints_of(kind, rng):
    return {
        "capacity": {"capacity": {"big": int(rng.integers(0, 4)), "small": int(rng.integers(1, 4))}},
        "max_share": {"max_share": {"middle": float(rng.choice([0.25, 0.5]))}},
        "min_share": {"min_share": {"small": float(rng.choice([0.25, 0.5])), "big": 0.25}},
        "token_capacity": {"token_capacity": {"big": 20.0}, "tokens": rng.uniform(5, 15, (N, K))},
        "mean_latency": {"mean_latency": float(rng.uniform(1.2, 3)), "latency": rng.uniform(1, 4, (N, K))},
        "max_latency": {"max_latency": 4.5, "latency": rng.uniform(1, 4, (N, K))},
        "max_changes": {"max_changes": int(rng.integers(1, 4)), "previous": rng.integers(-1, K, N)},
        "group_floor": {"group_floor": float(rng.uniform(0.3, 0.6)), "group": np.array(list("aabb"))},
        "max_group_gap": {"max_group_gap": float(rng.uniform(0.1, 0.3)), "group": np.array(list("aabb"))},
        "extra_budgets": {"extra_budgets": [ExtraBudget("gpu", np.array([1.0, 2.0, 4.0]), float(rng.uniform(6, 12)))]},
    }[kind]


KINDS = ("capacity", "max_share", "min_share", "token_capacity", "mean_latency", "max_latency", "max_changes",
         "group_floor", "max_group_gap", "extra_budgets")  # fmt: skip


def keeps(limits, first, second, success, slack=0.0, *, floors=True):
    """Whether calls keep the limits; ``second`` (N, K) says how many second calls each instruction makes."""
    rows = np.arange(N)
    calls = np.eye(K)[first] + second
    for name, most in limits.get("capacity", {}).items():
        if calls[:, MODELS.index(name)].sum() > most + slack:
            return False
    for name, share in limits.get("max_share", {}).items():
        if calls[:, MODELS.index(name)].sum() > share * N + slack:
            return False
    for name, share in limits.get("min_share", {}).items():
        if (first == MODELS.index(name)).sum() < share * N - slack:
            return False
    for name, most in limits.get("token_capacity", {}).items():
        k = MODELS.index(name)
        if (calls[:, k] * limits["tokens"][:, k]).sum() > most + slack:
            return False
    if "mean_latency" in limits and (calls * limits["latency"]).sum() > limits["mean_latency"] * N + slack:
        return False
    if "max_latency" in limits:
        latency = limits["latency"]
        waits = latency[rows, first] + np.where(second > 0, latency, 0.0).max(axis=1)
        if (waits > limits["max_latency"]).any():
            return False
    if "max_changes" in limits:
        known, stays = limits["previous"] >= 0, first == limits["previous"]
        if (known * np.where(stays, second.sum(axis=1), 1.0)).sum() > limits["max_changes"] + slack:
            return False
    for extra in limits.get("extra_budgets", []):
        if (calls * extra.usage).sum() > extra.limit + slack:
            return False
    means = [success[:2].mean(), success[2:].mean()]
    if floors and "group_floor" in limits and min(means) < limits["group_floor"] - slack:
        return False
    return not (floors and "max_group_gap" in limits and abs(means[0] - means[1]) > limits["max_group_gap"] + slack)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10_000), st.floats(0.4, 1.2))
def test_a_plan_is_the_best_that_keeps_the_constraint(kind, seed, share):
    success, cost, looks, rng = batch(seed)
    limits, budget = constraints_of(kind, rng), share * float(cost[:, 2].sum())
    values, usage = np.hstack([success, looks.value]), np.hstack([cost, looks.usage])
    rows, of_column = np.arange(N), np.array([0, 1, 2, 0, 1])
    expected = np.concatenate([np.zeros((N, K, K)), looks.expected], axis=1)

    def fits(columns, slack):
        if usage[rows, columns].sum() > budget + slack:
            return False
        return keeps(limits, of_column[columns], expected[rows, columns], values[rows, columns], slack)

    best = max(
        (values[rows, list(columns)].sum() for columns in product(range(5), repeat=N) if fits(list(columns), -HAIR)),
        default=None,
    )
    try:
        plan = plan_first_round(success, cost, budget, looks, FIRST, models=MODELS, constraints=limits)
    except InfeasibleAllocation:  # one call each cannot keep it
        assert not any(fits(list(columns), -HAIR) for columns in product(range(3), repeat=N))
        return
    columns = np.where(plan.looked_at, 3 + plan.choice, plan.choice)
    assert fits(columns, HAIR)
    assert best is None or plan.expected_success * N >= best - 1e-5


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10_000), st.floats(0, 2))
def test_the_second_round_is_the_best_within_what_the_first_calls_left(kind, seed, left):
    success, cost, _, rng = batch(seed)
    limits, first, rows = constraints_of(kind, rng), rng.integers(0, K, N), np.arange(N)
    limits.pop("min_share", None)  # it is for the first calls
    assume(keeps(limits, first, np.zeros((N, K)), success, floors=False))

    def fits(choice, slack, floors):
        again = (choice != first)[:, None]
        if (cost[rows, choice] * again[:, 0]).sum() > left + slack:
            return False
        if "max_changes" in limits:  # a second call may also lead back
            return ((choice != limits["previous"]) & (limits["previous"] >= 0)).sum() <= limits["max_changes"]
        return keeps(limits, first, np.eye(K)[choice] * again, success[rows, choice], slack, floors=floors)

    decided = decide_second_round(success, cost, first, left, models=MODELS, constraints=limits)
    choices = [np.array(choice) for choice in product(range(K), repeat=N)]
    reachable = [success[rows, choice].sum() for choice in choices if fits(choice, -HAIR, floors=True)]
    assert fits(decided.choice, HAIR, floors=bool(reachable))
    assert decided.expected_success * N >= max(reachable, default=success[rows, first].sum()) - 1e-5


@pytest.mark.parametrize("kind", ["capacity", "max_share", "token_capacity", "mean_latency", "extra_budgets"])
def test_a_limit_that_the_first_calls_used_up_pays_for_no_other(kind):
    success = np.tile([0.1, 0.2, 0.9], (N, 1))
    limits = {
        "capacity": {"capacity": {"big": 1}},
        "max_share": {"max_share": {"big": 0.25}},
        "token_capacity": {"token_capacity": {"big": 15.0}, "tokens": np.full(N, 10.0)},
        "mean_latency": {"mean_latency": 1.0, "latency": np.array([1.0, 1.0, 3.0])},
        "extra_budgets": {"extra_budgets": [ExtraBudget("gpu", np.array([1.0, 1.0, 3.0]), 5.0)]},
    }[kind]
    first = np.array([2, 2, 0, 0])
    decided = decide_second_round(success, np.ones((N, K)), first, 9.0, models=MODELS, constraints=limits)
    assert not (decided.choice[2:] == 2).any()


def test_constraints_need_looks_that_tell_their_calls():
    success, cost, looks, _ = batch(0)
    with pytest.raises(InvalidInput, match="capacity"):
        plan_first_round(success, cost, 9.0, lambda price: looks(price), FIRST, models=MODELS,
                         constraints={"capacity": {"big": 1}})  # fmt: skip


def test_the_capacity_left_is_counted_from_real_first_calls():
    success = np.tile([0.1, 0.2, 0.9], (4, 1))
    first = np.array([2, 2, 0, 0])
    decided = decide_second_round(success, np.full((4, 3), 0.1), first, 9.0, models=MODELS,
                                  constraints={"capacity": {"big": 3, "middle": 0}})  # fmt: skip
    assert sorted(decided.choice[2:].tolist()) == [0, 2]
    assert decided.prices.keys() >= {"capacity[big]"}
