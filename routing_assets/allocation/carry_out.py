"""The last sweep: apply the plan's rule to every part and store the choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from routing_assets.allocation.answer import runners_up, switching_prices, worth_of
from routing_assets.allocation.parts import Part
from routing_assets.allocation.policy import Plan
from routing_assets.allocation.solver.exact import exact_sum, float_not_below
from routing_assets.allocation.solver.source import Arrays, Located, Source


@dataclass(frozen=True, eq=False)
class AnswerPart:
    """The decisions on the rows of one part."""

    number: int
    """Number of the part, from zero."""
    source: Part
    """The part that was read."""
    choice: np.ndarray
    """(M,) int16 index into the models."""
    success: np.ndarray
    cost: np.ndarray
    """(M, K), as read."""
    allowed: np.ndarray | None
    price: float
    """Expected successes of the batch per extra USD."""
    potential: np.ndarray | None = None
    """(M, K) success less the resources used, at their shadow prices; None without side constraints."""

    @property
    def expected_success(self) -> np.ndarray:
        """(M,) expected success of the choice."""
        return self.success[np.arange(len(self.choice)), self.choice]

    @property
    def expected_cost(self) -> np.ndarray:
        """(M,) expected cost of the choice, USD."""
        return self.cost[np.arange(len(self.choice)), self.choice]

    @cached_property
    def _runner_up(self) -> tuple[np.ndarray, np.ndarray]:
        if self.potential is None:
            worth = worth_of(self.success, self.cost, self.allowed, self.price)
        else:
            worth = self.potential.copy()
        return runners_up(worth, self.choice)

    @property
    def runner_up(self) -> np.ndarray:
        """(M,) next best model of each instruction at the shadow price; -1 where no other is allowed."""
        return self._runner_up[0]

    @property
    def switching_price(self) -> np.ndarray:
        """(M,) expected successes lost by moving to the runner-up, with money at its shadow price; inf without one."""
        return switching_prices(self._runner_up[1])


Keep = Callable[[AnswerPart], Any]
"""Stores a part's decisions and returns a reference to them. Picklable: the worker that reads the part calls it."""


@dataclass(frozen=True, eq=False)
class ChoiceOnly:
    """A part's choices, in memory."""

    choice: np.ndarray


def keep_choice(part: AnswerPart) -> ChoiceOnly:
    """Return a part's choices to the driver: two bytes per row."""
    return ChoiceOnly(part.choice)


@dataclass(frozen=True, eq=False)
class Done:
    """What the last sweep returned: a reference per part, and the totals."""

    answers: tuple[Any, ...]
    rows: int
    success: Fraction
    cost: Fraction
    notes: dict[str, Any]

    @property
    def expected_success(self) -> float:
        """Mean over the batch."""
        return float(self.success / self.rows)

    @property
    def total_cost(self) -> float:
        """USD, rounded up."""
        return float_not_below(self.cost)


def carry_out(source: Source, plan: Plan, keep: Keep) -> Done:
    """Compute and store every part's choices; return the references and the exact totals."""
    success, cost, counts = Fraction(0), Fraction(0), Counter[str]()
    answers: list[Any] = []
    rules = [plan.rule.of(part.first, part.part.rows) for part in source.located]
    for part in source.sweep(_carry_out_part, plan.price, keep, given=rules):
        success, cost = success + part.success, cost + part.cost
        counts.update(part.notes)
        answers += part.answers
    return Done(tuple(answers), source.rows, success, cost, {**plan.notes, **counts})


def _carry_out_part(located: Located, price: float, keep: Keep) -> Done:
    arrays: Arrays = located.read()
    rule = located.given
    answer = AnswerPart(located.number, located.part, rule.choose(located.first, arrays), *arrays, price)
    success, cost = exact_sum(answer.expected_success), exact_sum(answer.expected_cost)
    return Done((keep(answer),), len(answer.choice), success, cost, dict(rule.notes(arrays)))
