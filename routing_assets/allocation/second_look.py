"""Two rounds under one budget: ask a first model, look at its answer, then keep it or ask another model.

"Ask j first, then decide" is one more option per instruction in the same knapsack, with an expected success and an
expected cost. Which decision follows an answer depends on what a dollar buys elsewhere in the batch, and that is known
only when the knapsack is solved; so the columns and the price are computed in turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from routing_assets.allocation.allocate import allocate
from routing_assets.allocation.answer import Allocation
from routing_assets.allocation.problem import AllocationProblem

TURNS = 3
"""How often columns and price are computed; the price changes little after the second."""


class Looks(Protocol):
    """What looking twice is worth on the instructions of a batch."""

    def __call__(self, price: float, /) -> tuple[np.ndarray, np.ndarray]:
        """Expected success and expected cost in USD, each (N, J), if a dollar buys ``price`` expected successes."""
        ...


@dataclass(frozen=True, eq=False)
class FirstRound:
    """The plan of a batch that may be looked at twice.

    Attributes:
        choice: (N,) the model that is asked first.
        looked_at: (N,) bool, whether a second call after the answer is planned for.
        allocation: over K + J columns, with bound and certificate.
    """

    choice: np.ndarray
    looked_at: np.ndarray
    allocation: Allocation

    @property
    def expected_success(self) -> float:
        """Mean over the batch, after the second round."""
        return self.allocation.expected_success

    @property
    def planned_cost(self) -> float:
        """USD, with the second calls that are expected."""
        return self.allocation.total_cost


def plan_first_round(
    success: np.ndarray,
    cost: np.ndarray,
    budget: float,
    looks: Looks,
    first: np.ndarray,
    *,
    models: tuple[str, ...] | None = None,
    forbidden: np.ndarray | None = None,
) -> FirstRound:
    """Choose the first model of every instruction, and whether its answer is looked at, within the budget.

    Args:
        success: (N, K) probabilities of each model alone.
        cost: (N, K) USD.
        budget: USD for both rounds.
        looks: the columns of second looks, by price.
        first: (J,) the model that is asked first in each column of ``looks``.
        models: K names.
        forbidden: (N, K) bool; an instruction that may not go to every model is not looked at twice by plan.

    Raises InfeasibleBudget where one call per instruction is too much.
    """
    names = models or tuple(f"model_{k}" for k in range(success.shape[1]))
    alone = AllocationProblem(success, cost, budget, models=names, forbidden=forbidden)
    best = allocate(alone)
    n, k = success.shape
    joined = (*names, *(f"{names[j]}, then decide" for j in first))
    barred = (
        None
        if forbidden is None
        else np.hstack([forbidden, np.repeat(forbidden.any(axis=1, keepdims=True), len(first), axis=1)])
    )
    price = best.shadow_price
    plan = FirstRound(best.choice, np.zeros(n, dtype=bool), best)
    for _ in range(TURNS):
        value, usage = looks(price)
        problem = AllocationProblem(
            np.hstack([success, value]),
            np.hstack([alone.cost_matrix, usage]),
            budget,
            models=joined,
            forbidden=barred,
        )
        answer = allocate(problem)
        price = answer.shadow_price
        if answer.expected_success > plan.expected_success:
            choice = np.concatenate([np.arange(k), first])[answer.choice]
            plan = FirstRound(choice, np.asarray(answer.choice >= k), answer)
    return plan


def decide_second_round(
    success: np.ndarray,
    cost: np.ndarray,
    first: np.ndarray,
    left: float,
    *,
    models: tuple[str, ...] | None = None,
    forbidden: np.ndarray | None = None,
) -> Allocation:
    """Keep each first answer, which costs nothing, or ask another model, within what the budget has left.

    There always is a solution: to keep everything.

    Args:
        success: (N, K) probabilities once the first answers are there.
        cost: (N, K) USD.
        first: (N,) the model that has answered.
        left: USD; nothing is asked where it is zero or less.
        models: K names.
        forbidden: (N, K) bool.
    """
    rows = np.arange(len(first))
    cost = np.array(np.broadcast_to(cost, success.shape), dtype=np.float64)
    cost[rows, first] = 0.0
    if forbidden is not None:
        forbidden = forbidden.copy()
        forbidden[rows, first] = False
    return allocate(AllocationProblem(success, cost, max(0.0, left), models=models, forbidden=forbidden))
