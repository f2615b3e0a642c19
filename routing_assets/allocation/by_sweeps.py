"""Allocate batches larger than memory: the same policies, over parts that are read one by one, on any engine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from typing import Any

import numpy as np

from routing_assets.allocation import validation as check
from routing_assets.allocation.allocate import allocate, named_policy
from routing_assets.allocation.carry_out import AnswerPart, Keep, carry_out, keep_choice
from routing_assets.allocation.errors import TooManyRows
from routing_assets.allocation.inspection import inspect
from routing_assets.allocation.parts import Part
from routing_assets.allocation.policies import DEFAULT_POLICY
from routing_assets.allocation.policy import Options
from routing_assets.allocation.problem import SIDE_CONSTRAINTS, AllocationProblem
from routing_assets.allocation.solver.exact import float_not_above, within
from routing_assets.allocation.solver.source import Source
from routing_assets.engine import Engine, LocalEngine
from routing_assets.foundation.errors import InvalidInput

CONSTRAINED_BYTES_PER_PAIR = 250
"""Peak memory with side constraints. Measured: 164 to 178 with shares and a latency on 20,000 to 60,000 x 16 pairs."""


@dataclass(frozen=True, eq=False)
class PartedProblem:
    """A batch in parts under one hard budget.

    Each part's ``allowed`` says which pairs of instruction and model may be chosen. ``constraints`` are the fields of
    :class:`AllocationProblem` that tie instructions together, such as ``{"max_share": {"big": 0.4}}``. Fields with a
    value per instruction (tokens, group, previous) are arrays over the whole batch.
    """

    parts: Sequence[Part]
    budget: float
    """USD for the whole batch; may be ``math.inf``."""
    models: Sequence[str] | None = None
    """Names, length K; ``model_0`` … by default."""
    constraints: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", check.limit(self.budget, "budget"))
        if barred := [name for name in ("forbidden", "max_latency") if self.constraints.get(name) is not None]:
            raise InvalidInput(f"{barred[0]} bars single pairs", remedy="Set the parts' allowed to False there")

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, eq=False)
class PartedAllocation:
    """The certificate of a batch in parts; fields as in :class:`~routing_assets.allocation.Allocation`."""

    answers: tuple[Any, ...]
    """What ``keep`` returned for each part, in order."""
    budget: float
    models: tuple[str, ...]
    policy: str
    status: str
    expected_success: float
    total_cost: float
    upper_bound: float
    shadow_price: float
    prices: Mapping[str, float]
    binding: tuple[str, ...]
    notes: Mapping[str, Any]
    budget_slack: float
    """USD left of the budget, rounded down."""
    passes: int
    """How many times the whole batch was read."""

    @property
    def gap(self) -> float:
        """Relative distance to the upper bound."""
        return max(0.0, self.upper_bound - self.expected_success) / self.upper_bound if self.upper_bound else 0.0

    @property
    def choice(self) -> np.ndarray:
        """(N,) int16 index into ``models``; needs answers with a ``choice``, as :func:`keep_choice` returns."""
        return np.concatenate([answer.choice for answer in self.answers])


def allocate_parts(
    problem: PartedProblem,
    policy: str = DEFAULT_POLICY,
    *,
    target: float = 0.75,
    seed: int = 0,
    exact: bool = False,
    time_limit_s: float = 60.0,
    relative_gap: float | None = None,
    engine: Engine | None = None,
    keep: Keep = keep_choice,
    memory_bytes: int = 8 << 30,
) -> PartedAllocation:
    """Decide as :func:`allocate` would, for a batch that may be larger than memory.

    All parts are read several times: once to check and sample them, once or more to decide, and once to write. In the
    last sweep ``keep`` gets each part's choices, runners-up and switching prices, and returns a reference to them. The
    decision is the same to the last bit however the rows are divided into parts and whichever ``engine`` reads them.

    Constraints that tie instructions together need all pairs in memory. If they would take more than ``memory_bytes``,
    :class:`TooManyRows` is raised before anything is read. Otherwise raises what :func:`allocate` raises;
    :class:`InvalidInput` then names the part.
    """
    chosen, options = named_policy(policy), Options(target, seed, exact, time_limit_s, relative_gap)
    tied = tying_constraints(problem)
    if tied and chosen.ignores_side_constraints:
        raise _cannot_keep(policy, tied)
    if tied:
        _refuse_too_many(problem, tied, memory_bytes)
    source, barred = inspect(problem.parts, problem.models, seed, engine or LocalEngine())
    if barred and chosen.ignores_pair_rules:
        raise _cannot_keep(policy, ["forbidden"])
    if tied:
        return _in_memory(problem, source, policy, options, keep)
    plan = chosen.plan(source, problem.budget, options)
    done = carry_out(source, plan, keep)
    if not within(done.cost, problem.budget):
        raise InvalidInput("the parts changed while they were read", remedy="Use parts that do not change")
    return PartedAllocation(
        done.answers,
        problem.budget,
        source.names,
        policy,
        plan.status,
        done.expected_success,
        done.total_cost,
        max(done.expected_success, plan.bound),
        plan.price,
        {"budget": plan.price},
        plan.binding,
        done.notes,
        _slack(problem.budget, done.cost),
        source.passes,
    )


def tying_constraints(problem: PartedProblem) -> list[str]:
    """The constraints in use that tie instructions together beyond the budget."""
    if unknown := sorted(set(problem.constraints) - {field.name for field in fields(AllocationProblem)}):
        raise InvalidInput(f"there is no constraint '{unknown[0]}'", remedy=f"Known: {', '.join(SIDE_CONSTRAINTS)}")
    return [name for name in SIDE_CONSTRAINTS if problem.constraints.get(name) not in (None, ())]


def _cannot_keep(policy: str, names: Sequence[str]) -> InvalidInput:
    return InvalidInput(f"policy '{policy}' cannot keep {', '.join(names)}", remedy=f"Use policy '{DEFAULT_POLICY}'")


def _refuse_too_many(problem: PartedProblem, tied: Sequence[str], memory_bytes: int) -> None:
    filled = next((part for part in problem.parts if part.rows), None)
    if filled is None:
        return
    columns = filled.read()[0].shape[1] if problem.models is None else len(problem.models)
    fit = memory_bytes // (CONSTRAINED_BYTES_PER_PAIR * columns)
    if len(problem) > fit:
        raise TooManyRows(len(problem), fit, columns, tuple(tied), memory_bytes)


def _in_memory(problem: PartedProblem, source: Source, policy: str, options: Options, keep: Keep) -> PartedAllocation:
    """Read all parts into memory and solve them as one problem with side constraints."""
    success, cost, allowed = source.gathered()
    whole = AllocationProblem(
        success,
        cost,
        problem.budget,
        source.names,
        forbidden=None if allowed is None else ~allowed,
        **problem.constraints,
    )
    answer = allocate(whole, policy, **asdict(options))
    answers = []
    for part in source.located:
        at = slice(part.first, part.first + part.part.rows)
        own = (success[at], cost[at], None if allowed is None else allowed[at])
        potential = None if answer.potential is None else answer.potential[at]
        choice = answer.choice[at].astype(np.int16)
        answers.append(keep(AnswerPart(part.number, part.part, choice, *own, answer.shadow_price, potential)))
    return PartedAllocation(
        tuple(answers),
        problem.budget,
        source.names,
        policy,
        answer.status,
        answer.expected_success,
        answer.total_cost,
        answer.upper_bound,
        answer.shadow_price,
        answer.prices,
        answer.binding,
        answer.notes,
        answer.budget_slack,
        source.passes,
    )


def _slack(budget: float, spent: Fraction) -> float:
    return math.inf if math.isinf(budget) else float_not_above(Fraction(budget) - spent)
