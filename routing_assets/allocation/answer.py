"""The answer: the model of each instruction, the cost, and a proven bound on how much better any answer can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.exact import exact_sum, float_not_above, float_not_below

TIE = 1e-12
"""Expected successes; smaller differences between two models are rounding errors."""


@dataclass(frozen=True, eq=False)
class Allocation:
    """One model per instruction, with its certificate.

    Success is *expected* success: the mean or sum of the probabilities the problem was given.
    """

    problem: AllocationProblem = field(repr=False)
    choice: np.ndarray
    """(N,) index into ``models``."""
    policy: str
    status: str
    """``optimal``: nothing better exists, to float resolution. ``within_gap``: ``gap`` is at most the wanted one.
    ``feasible``, or ``time_limit`` if the optimum was asked for: the search ended before that; ``gap`` is proven.
    ``heuristic``: the policy seeks no optimum; ``gap`` compares it with a bound from the relaxation."""
    expected_success: float
    """Mean over the batch."""
    total_cost: float
    """USD; never above the budget, compared without rounding."""
    upper_bound: float
    """No assignment within the budget and constraints has a greater mean expected success."""
    shadow_price: float
    """Expected successes (of the whole batch) per extra USD at the margin."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Shadow price of every constraint in use, expected successes per unit of its limit; ``budget`` among them."""
    binding: tuple[str, ...] = ()
    """Names of the constraints with a positive shadow price: those that cost success."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Further facts about the decision, for example ``no_model_met_target`` (number of instructions)."""
    potential: np.ndarray | None = field(default=None, repr=False)
    """(N, K) success less the resources used, at their shadow prices; None without side constraints, where it is
    success - shadow_price x cost."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that ``choice`` refers to."""
        return tuple(self.problem.models or ())

    @property
    def gap(self) -> float:
        """(upper bound - expected success) / upper bound: no assignment can be better by more."""
        if self.upper_bound <= self.expected_success:
            return 0.0
        return (self.upper_bound - self.expected_success) / self.upper_bound

    @cached_property
    def budget_slack(self) -> float:
        """USD left of the budget, rounded down."""
        if np.isinf(self.problem.budget):
            return float("inf")
        spent = exact_sum(self.problem.chosen(self.problem.cost_matrix, self.choice))
        return float_not_above(type(spent)(self.problem.budget) - spent)

    @cached_property
    def _runner_up(self) -> tuple[np.ndarray, np.ndarray]:
        worth = self.potential
        if worth is None:
            worth = worth_of(self.problem.success, self.problem.cost_matrix, self.problem.allowed, self.shadow_price)
        else:
            worth = worth.copy()
        return runners_up(worth, self.choice)

    @property
    def runner_up(self) -> np.ndarray:
        """(N,) next best model of each instruction at the shadow prices; -1 where no other is allowed."""
        return self._runner_up[0]

    @property
    def reduced_cost(self) -> np.ndarray:
        """(N,) worth of the choice less that of the runner-up, at the shadow prices; inf without a runner-up.

        Negative where the runner-up is worth more: for instructions whose better model the rest of the budget cannot
        pay, and under policies that do not maximise. A tie may differ from zero by a rounding error.
        """
        return self._runner_up[1]

    @property
    def switching_price(self) -> np.ndarray:
        """(N,) expected successes lost by moving to the runner-up, with money valued at its shadow price.

        This is the reduced cost, or zero where that is negative or a tie. inf without a runner-up.
        """
        return switching_prices(self.reduced_cost)


def worth_of(success: np.ndarray, cost: np.ndarray, allowed: np.ndarray | None, price: float) -> np.ndarray:
    """Return success - price x cost, (M, K), as a new array; -inf where a pair is not allowed."""
    worth = success - price * cost
    if allowed is not None:
        worth[~allowed] = -np.inf
    return worth


def runners_up(worth: np.ndarray, choice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's next best column, -1 where there is none, and how much worse it is. Overwrites ``worth``."""
    rows = np.arange(len(worth))
    chosen = worth[rows, choice]
    worth[rows, choice] = -np.inf
    second = worth.argmax(axis=1)
    price = chosen - worth[rows, second]
    return np.where(np.isinf(price), -1, second), price


def switching_prices(reduced_cost: np.ndarray) -> np.ndarray:
    """Return the loss of moving to the runner-up: the reduced cost, or 0 where that is negative or a tie."""
    return np.where(reduced_cost > TIE, reduced_cost, 0.0)


def measure(problem: AllocationProblem, choice: np.ndarray) -> tuple[float, float]:
    """Return the mean expected success and the total cost in USD (rounded up) of a choice."""
    success = exact_sum(problem.chosen(problem.success, choice)) / len(problem)
    return float(success), float_not_below(exact_sum(problem.chosen(problem.cost_matrix, choice)))
