"""What an allocation policy is: its name, its method in one sentence, what it cannot keep, and how it decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.rules import Rule
from routing_assets.allocation.solver.source import Source

PAIR_RULES = ("forbidden", "max_latency")
"""Constraints that forbid single pairs of instruction and model."""


@dataclass(frozen=True)
class Options:
    """Options of a call, apart from the problem; each policy reads those that concern it."""

    target: float = 0.75
    """Success that an instruction's model should reach."""
    seed: int = 0
    """Seed of every random choice."""
    exact: bool = False
    """Search until the optimum is proven or the time limit is reached."""
    time_limit_s: float = 60.0
    relative_gap: float | None = None
    """Relative gap to the bound that is good enough; None for the policy's default."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A policy's decision as a rule, before the rule is applied to the parts of the batch."""

    rule: Rule
    status: str
    bound: float
    """No assignment within the budget has a greater mean expected success, except perhaps the plan's own."""
    price: float
    """Expected successes of the batch per extra USD."""
    binding: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """An allocation policy."""

    name: str
    method: str
    """What the policy does, in one sentence for users who choose between policies."""
    plan: Callable[[Source, float, Options], Plan]
    """Plans for all rows under a budget in USD; raises :class:`InfeasibleAllocation` if no assignment keeps it."""
    ignores_side_constraints: bool = False
    ignores_pair_rules: bool = False
    library: str = "numpy"
    """The library that solves it, as shown in the lineage."""

    def unsupported(self, problem: AllocationProblem) -> tuple[str, ...]:
        """The fields of the problem that are in use and that this policy cannot keep."""
        side = problem.side_constraints if self.ignores_side_constraints else ()
        pairs = PAIR_RULES if self.ignores_pair_rules else ()
        return side + tuple(name for name in pairs if getattr(problem, name) is not None)
