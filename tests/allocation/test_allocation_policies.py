"""Threshold, NDCH and NDCH(P) by hand-worked examples; hull, validation and exact sums."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.allocation import (
    AllocationProblem,
    ExtraBudget,
    InfeasibleBudget,
    InfeasibleConstraints,
    allocate,
)
from routing_assets.allocation.solver.exact import exact_sum, float_not_above, float_not_below
from routing_assets.allocation.solver.hull import upper_hull
from routing_assets.foundation.errors import InvalidInput

SUCCESS = np.array([[0.8, 0.9], [0.3, 0.9], [0.1, 0.2], [0.75, 0.7]])


def test_threshold_takes_the_cheapest_that_qualifies_and_counts_the_rest() -> None:
    answer = allocate(AllocationProblem(SUCCESS, np.array([1.0, 4.0]), math.inf), "threshold", target=0.75)
    assert answer.choice.tolist() == [0, 1, 1, 0]  # none qualifies in row 2: the most probable one
    assert answer.notes == {"target": 0.75, "no_model_met_target": 1}


def test_threshold_lowers_its_target_to_what_the_budget_affords() -> None:
    answer = allocate(AllocationProblem(SUCCESS, np.array([1.0, 4.0]), 9.0), "threshold", target=0.75)
    assert answer.total_cost <= 9.0
    assert answer.notes["target"] < 0.75
    with pytest.raises(InfeasibleBudget) as short:
        allocate(AllocationProblem(SUCCESS, np.array([1.0, 4.0]), 3.9), "threshold")
    assert short.value.cheapest_budget == 4.0


def test_hull_leaves_out_dominated_collinear_and_equal_points() -> None:
    cost = np.array([1.0, 2.0, 3.0, 3.0, 2.0, 4.0, 1.0])
    value = np.array([0.25, 0.5, 0.75, 0.5, 0.1, 0.75, 0.25])
    assert upper_hull(cost, value).tolist() == [0, 2]
    assert upper_hull(np.array([1.0, 1.0]), np.array([0.3, 0.5])).tolist() == [1]


def test_ndch_mixes_the_two_neighbouring_vertices_in_the_budgets_ratio() -> None:
    rng = np.random.default_rng(0)
    success = np.clip(np.array([0.3, 0.7, 0.8]) + rng.normal(0, 0.05, (1000, 3)), 0, 1)
    problem = AllocationProblem(success, np.array([1.0, 2.0, 4.0]), 2_500.0)
    answer = allocate(problem, "ndch", seed=1)
    assert np.bincount(answer.choice, minlength=3).tolist() == [0, 750, 250]
    assert np.array_equal(answer.choice, allocate(problem, "ndch", seed=1).choice)
    assert not np.array_equal(answer.choice, allocate(problem, "ndch", seed=2).choice)
    kept = allocate(problem, "ndch_p").choice == 1
    assert success[kept, 1].min() >= success[~kept, 1].max()


def test_ndch_refuses_a_budget_below_the_hull_and_takes_the_best_model_above_it() -> None:
    cost = np.array([1.0, 2.0])
    for policy in ("ndch", "ndch_p"):
        with pytest.raises(InfeasibleBudget, match=f"with policy '{policy}'") as short:
            allocate(AllocationProblem(SUCCESS, cost, 3.0), policy)
        assert (short.value.policy, short.value.cheapest_budget) == (policy, 4.0)
    rich = allocate(AllocationProblem(SUCCESS, cost, 1e9), "ndch_p")
    assert rich.choice.tolist() == [1, 1, 1, 1]


def test_policies_that_cannot_keep_a_constraint_refuse_it() -> None:
    problem = AllocationProblem(SUCCESS, np.ones(2), 10.0, max_share=[0.5, 0.5])
    with pytest.raises(InvalidInput, match="max_share"):
        allocate(problem, "ndch")
    with pytest.raises(InvalidInput, match="unknown policy"):
        allocate(problem, "greedy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"success": np.empty((0, 2))}, "batch is empty"),
        ({"success": np.empty((3, 0))}, "no models"),
        ({"success": np.array([[0.1, np.nan]])}, "row 0, column 'model_1'"),
        ({"success": np.array([[0.1, 1.5]])}, "between 0 and 1"),
        ({"cost": np.array([1.0, -1.0])}, "column 'b': cost is -1.0"),
        ({"cost": np.array([1.0, np.inf])}, "cost is inf"),
        ({"cost": np.ones(3)}, r"cost has shape \(3,\)"),
        ({"budget": math.nan}, "budget is nan"),
        ({"budget": -1.0}, "budget is -1.0"),
        ({"models": ["a", "a"]}, "named twice"),
        ({"models": ["a"]}, "1 model names"),
        ({"max_share": {"c": 0.5}}, "unknown models: c"),
        ({"max_share": {"a": 1.5}}, "column 'a'"),
        ({"mean_latency": 1.0}, "needs latency"),
        ({"token_capacity": [1, 1]}, "needs tokens"),
        ({"group_floor": 0.5}, "needs group"),
        ({"group_floor": math.inf, "group": [0, 0, 1, 1]}, "group_floor of '0' is inf"),
        ({"forbidden": np.zeros((4, 2))}, "forbidden must be bool"),
        ({"previous": np.array([0, 1, 2, 0])}, "row 2"),
    ],
)
def test_bad_input_is_refused_by_name(changes: dict, message: str) -> None:
    good = {"success": SUCCESS, "cost": np.ones(2), "budget": 5.0}
    if "success" not in changes:
        good["models"] = ["a", "b"]
    with pytest.raises(InvalidInput, match=message):
        AllocationProblem(**(good | changes))


@pytest.mark.parametrize(
    "limits",
    [
        {"max_changes": math.inf, "previous": np.zeros(4, int)},
        {"max_group_gap": math.inf, "group": [0, 0, 1, 1]},
        {"mean_latency": math.inf, "max_latency": math.inf, "latency": np.ones(2)},
        {"capacity": [math.inf] * 2, "token_capacity": [math.inf] * 2, "tokens": np.ones(4)},
        {"extra_budgets": [ExtraBudget("gpu", np.ones(2), math.inf)]},
    ],
)
def test_an_infinite_limit_changes_nothing(limits: dict) -> None:
    limited, free = (AllocationProblem(SUCCESS, np.array([1.0, 4.0]), 9.0, **more) for more in (limits, {}))
    assert allocate(limited).choice.tolist() == allocate(free).choice.tolist()


def test_an_instruction_without_allowed_models_is_named() -> None:
    forbidden = np.zeros((4, 2), bool)
    forbidden[2] = True
    with pytest.raises(InfeasibleConstraints, match="Row 2") as conflict:
        allocate(AllocationProblem(SUCCESS, np.ones(2), 5.0, forbidden=forbidden, latency=np.ones(2), max_latency=2.0))
    assert conflict.value.conflict == ("forbidden",)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64, max_value=1e300, min_value=-1e300)))
def test_sums_are_exact(values: list[float]) -> None:
    truth = sum(map(Fraction, values), Fraction(0))
    assert exact_sum(np.array(values)) == truth
    small = truth / 10**310
    assert Fraction(float_not_above(small)) <= small <= Fraction(float_not_below(small))
