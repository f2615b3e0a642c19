"""The first of two rounds for a batch larger than memory: its columns are computed part by part, at one price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing_assets.allocation.by_sweeps import (
    CONSTRAINED_BYTES_PER_PAIR,
    PartedAllocation,
    PartedProblem,
    allocate_parts,
    tying_constraints,
)
from routing_assets.allocation.carry_out import Keep, keep_choice
from routing_assets.allocation.parts import Matrices, Part
from routing_assets.allocation.second_look import SAMPLE, Looks, LooksByRow, price_in_turns
from routing_assets.allocation.second_look_limits import THEN_DECIDE
from routing_assets.allocation.solver.source import joined
from routing_assets.engine import Engine, LocalEngine
from routing_assets.foundation.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class LookedAtPart:
    """A part whose columns are each model alone and each "ask j first, then decide"."""

    part: Part
    looks: LooksByRow
    first: np.ndarray
    price: float

    @property
    def rows(self) -> int:
        """Instructions."""
        return self.part.rows

    def read(self) -> Matrices:
        """Success, cost and allowed pairs of all columns; computed anew each time."""
        success, cost, allowed = self.part.read()
        value, usage = self.looks(self.price)
        if allowed is not None:
            allowed = np.hstack([allowed, np.repeat(allowed.all(axis=1, keepdims=True), len(self.first), axis=1)])
        return np.hstack([success, value]), np.hstack([np.broadcast_to(cost, success.shape), usage]), allowed


@dataclass(frozen=True, eq=False)
class PartedFirstRound:
    """The plan of a batch in parts. ``choice`` and ``looked_at`` need answers that have a ``choice``."""

    allocation: PartedAllocation
    first_of_column: np.ndarray
    """(K + J,) the model that is asked first in each column."""

    @property
    def choice(self) -> np.ndarray:
        """(N,) the model that is asked first."""
        return self.first_of_column[self.allocation.choice]

    @property
    def looked_at(self) -> np.ndarray:
        """(N,) bool, whether a second call after the answer is planned for."""
        return np.asarray(self.allocation.choice > self.first_of_column.max())


def plan_first_round_by_parts(
    problem: PartedProblem,
    looks: Sequence[LooksByRow],
    first: np.ndarray,
    *,
    engine: Engine | None = None,
    keep: Keep = keep_choice,
    seed: int = 0,
    memory_bytes: int = 8 << 30,
) -> PartedFirstRound:
    """Decide as :func:`plan_first_round` does for a large batch, without ever holding the columns of all instructions.

    Args:
        problem: the parts, the budget for both rounds, and the names of the models.
        looks: at the instructions of each part, in order; picklable.
        first: (J,) the model that is asked first in each column of ``looks``.
        engine: reads the parts.
        keep: gets the answer to each part, whose columns are those of :class:`LookedAtPart`.
        seed: of the sample on which the price is found.

    Raises InvalidInput under constraints that tie instructions together; it says how many fit in ``memory_bytes``.
    """
    n, engine = len(problem), engine or LocalEngine()
    if tied := tying_constraints(problem):
        columns = len(first) + (len(problem.models or ()) or problem.parts[0].read()[0].shape[1])
        fit = memory_bytes // (CONSTRAINED_BYTES_PER_PAIR * columns)
        raise InvalidInput(
            f"second looks under {', '.join(tied)} need the batch in memory: at most {fit} instructions fit",
            remedy="Plan it in memory, drop these constraints, or do without second looks",
        )
    rows = np.sort(np.random.default_rng(seed).choice(n, min(n, SAMPLE), replace=False))
    ends = np.cumsum([part.rows for part in problem.parts])
    inside = [rows[(rows >= end - part.rows) & (rows < end)] - (end - part.rows)
              for part, end in zip(problem.parts, ends, strict=True)]  # fmt: skip
    sampled = list(engine.map(_sample, list(zip(problem.parts, looks, inside, strict=True))))
    success, cost, allowed = joined([matrices for matrices, _ in sampled])
    price = price_in_turns(success, cost, allowed, problem.budget, n, _Joined([own for _, own in sampled]), first)
    names = tuple(problem.models or (f"model_{j}" for j in range(success.shape[1])))
    whole = PartedProblem(
        [LookedAtPart(part, own, first, price) for part, own in zip(problem.parts, looks, strict=True)],
        problem.budget,
        (*names, *(f"{names[j]}{THEN_DECIDE}" for j in first)),
    )
    allocation = allocate_parts(whole, engine=engine, keep=keep, seed=seed)
    return PartedFirstRound(allocation, np.concatenate([np.arange(success.shape[1]), first]))


@dataclass(frozen=True, eq=False)
class _Joined:
    """Looks at the sampled instructions of all parts."""

    looks: Sequence[Looks]

    def __call__(self, price: float, /) -> tuple[np.ndarray, np.ndarray]:
        found = [own(price) for own in self.looks]
        return np.concatenate([value for value, _ in found]), np.concatenate([usage for _, usage in found])


def _sample(given: tuple[Part, LooksByRow, np.ndarray]) -> tuple[Matrices, Looks]:
    """The sampled rows of a part, and the looks at them."""
    part, looks, rows = given
    success, cost, allowed = part.read()
    own = np.broadcast_to(cost, success.shape)[rows]
    return (success[rows], own, None if allowed is None else allowed[rows]), looks.at(rows)
