"""Two rounds under one budget: ask a first model, look at its answer, then keep it or ask another model.

"Ask j first, then decide" is one more option per instruction in the same knapsack, with an expected success and an
expected cost. Which decision follows an answer depends on what a dollar buys elsewhere in the batch, and that is known
only when the knapsack is solved; so the columns and the price are computed in turns. In a large batch the turns are
taken on a sample, and the columns of the whole batch are computed once, at the price that was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from routing_assets.allocation.allocate import allocate
from routing_assets.allocation.answer import Allocation
from routing_assets.allocation.errors import InfeasibleAllocation, UndecidedAllocation
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.second_look_limits import left_over, with_floors_as_reached, with_looks
from routing_assets.foundation.errors import InvalidInput

TURNS = 3
"""How often columns and price are computed; the price changes little after the second."""
SAMPLE = 4_096
"""Instructions on which the price is found where the batch has more than twice as many."""
_ROUGHLY = 1e-3  # relative gap; all that a sample is solved for is the price


class Looks(Protocol):
    """What looking twice is worth on the instructions of a batch."""

    def __call__(self, price: float, /) -> tuple[np.ndarray, np.ndarray]:
        """Expected success and expected cost in USD, each (N, J), if a dollar buys ``price`` expected successes."""
        ...


@runtime_checkable
class LooksByRow(Looks, Protocol):
    """Looks that can be asked about some instructions, and for the second calls that are expected."""

    def at(self, rows: np.ndarray, /) -> Looks:
        """Looks at some of the instructions."""
        ...

    def calls(self, price: float, /) -> np.ndarray:
        """(N, J, K) expected second calls of each model, after the answer of each first model."""
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
    constraints: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> FirstRound:
    """Choose the first model of every instruction, and whether its answer is looked at, within the budget.

    Args:
        success: (N, K) probabilities of each model alone.
        cost: (N, K) USD.
        budget: USD for both rounds.
        looks: the columns of second looks, by price; :class:`LooksByRow` where the batch is large or constrained.
        first: (J,) the model that is asked first in each column of ``looks``.
        models: K names.
        forbidden: (N, K) bool; an instruction that may not go to every model is not looked at twice by plan.
        constraints: further fields of :class:`AllocationProblem`, such as ``{"capacity": {"big": 100}}``. They hold for
            both rounds together, in expectation, and for the first round alone.
        seed: of the sample on which the price of a large batch is found.

    Raises InfeasibleAllocation where one call per instruction cannot keep the budget or the constraints.
    """
    problem = AllocationProblem(success, cost, budget, models=models, forbidden=forbidden, **(constraints or {}))
    if problem.side_constraints:
        if not isinstance(looks, LooksByRow):
            raise InvalidInput(
                f"second looks under {', '.join(problem.side_constraints)} need the expected second calls",
                remedy="Pass looks that have calls(price)",
            )
    elif len(problem) > 2 * SAMPLE and isinstance(looks, LooksByRow):
        return _at(_price_on_a_sample(problem, looks, first, seed), problem, looks, first)
    return _in_turns(problem, looks, first)[0]


def _in_turns(
    problem: AllocationProblem, looks: Looks, first: np.ndarray, relative_gap: float | None = None
) -> tuple[FirstRound, float]:
    """The best plan of some turns, and the price after the last one."""
    once = allocate(problem, relative_gap=relative_gap)
    price, plan = once.shadow_price, FirstRound(once.choice, np.zeros(len(problem), dtype=bool), once)
    for _ in range(TURNS):
        try:
            found, before = _at(price, problem, looks, first, relative_gap), price
        except (InfeasibleAllocation, UndecidedAllocation):  # by rounding or time only: one call each is possible
            break
        price = found.allocation.shadow_price
        if found.expected_success > plan.expected_success:
            plan = found
        if price == before:
            break
    return plan, price


def _at(
    price: float, problem: AllocationProblem, looks: Looks, first: np.ndarray, relative_gap: float | None = None
) -> FirstRound:
    """The plan whose columns are computed at a price."""
    calls = looks.calls(price) if problem.side_constraints and isinstance(looks, LooksByRow) else None
    answer = allocate(with_looks(problem, *looks(price), np.asarray(first), calls), relative_gap=relative_gap)
    k = problem.n_models
    return FirstRound(np.concatenate([np.arange(k), first])[answer.choice], np.asarray(answer.choice >= k), answer)


def _price_on_a_sample(problem: AllocationProblem, looks: LooksByRow, first: np.ndarray, seed: int) -> float:
    n, allowed = len(problem), problem.allowed
    rows = np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False))
    own = None if allowed is None else allowed[rows]
    return price_in_turns(
        problem.success[rows], problem.cost_matrix[rows], own, problem.budget, n, looks.at(rows), first
    )


def price_in_turns(
    success: np.ndarray,
    cost: np.ndarray,
    allowed: np.ndarray | None,
    budget: float,
    instructions: int,
    looks: Looks,
    first: np.ndarray,
) -> float:
    """What a dollar buys in a batch of ``instructions``, found in turns on a sample with its share of the budget.

    Args:
        success: (m, K) of the sample; ``cost`` (m, K) in USD; ``allowed`` (m, K) bool, or None.
        budget: USD for the whole batch.
        looks: at the instructions of the sample.
    """
    least = (cost if allowed is None else np.where(allowed, cost, np.inf)).min(axis=1)
    share = max(budget * len(success) / instructions, float(least.sum()) * (1 + 1e-9))
    sample = AllocationProblem(success, cost, share, forbidden=None if allowed is None else ~allowed)
    return _in_turns(sample, looks, first, _ROUGHLY)[1]


def decide_second_round(
    success: np.ndarray,
    cost: np.ndarray,
    first: np.ndarray,
    left: float,
    *,
    models: tuple[str, ...] | None = None,
    forbidden: np.ndarray | None = None,
    constraints: Mapping[str, Any] | None = None,
) -> Allocation:
    """Keep each first answer, which costs nothing, or ask another model, within what the budget has left.

    There always is a solution: to keep everything.

    Args:
        success: (N, K) probabilities once the first answers are there.
        cost: (N, K) USD.
        first: (N,) the model that has answered.
        left: USD; nothing is asked where it is zero or less.
        models: K names.
        forbidden: (N, K) bool; True everywhere where no answer is there to look at.
        constraints: those of the first round, for both rounds together. In ``tokens`` and ``latency`` the entries of
            the first calls are what these really took, where that is known. Success floors that the answers have put
            out of reach, and a gap that they have widened, are lowered to what keeping every answer gives.
    """
    whole = AllocationProblem(success, cost, max(0.0, left), models=models, forbidden=forbidden, **(constraints or {}))
    problem = left_over(whole, first)
    if not problem.side_constraints:
        return allocate(problem)
    for attempt in (problem, with_floors_as_reached(problem, first)):
        with suppress(InfeasibleAllocation, UndecidedAllocation):
            return allocate(attempt)
    others = np.ones(success.shape, dtype=bool)
    others[np.arange(len(first)), first] = False
    kept = allocate(AllocationProblem(success, problem.cost, problem.budget, models=models, forbidden=others))
    return replace(kept, status="feasible", upper_bound=1.0)
