"""What an allocation policy is: its name, its method in one sentence, what it cannot keep, and how it decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.rules import Rule
from routing_assets.allocation.solver.source import Source

PAIR_RULES = ("forbidden", "max_latency")
"""Constraints that bar single pairs of instruction and model."""


@dataclass(frozen=True)
class Options:
    """What a caller may ask beside the problem; each policy reads what concerns it."""

    target: float = 0.75
    """Success that an instruction's model should reach."""
    seed: int = 0
    """Of every random choice."""
    exact: bool = False
    """Prove the optimum, whatever it takes."""
    time_limit_s: float = 60.0
    relative_gap: float | None = None
    """Distance to the optimum that is good enough; None: the policy's own."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a policy decided, before any part of the batch has worked out its own choices."""

    rule: Rule
    status: str
    bound: float
    """No assignment within the budget has a greater mean expected success, unless the plan itself has."""
    price: float
    """Expected successes of the batch per extra USD."""
    binding: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """A way to assign a batch."""

    name: str
    method: str
    """What it does, in one sentence for people who choose."""
    plan: Callable[[Source, float, Options], Plan]
    """Decides over rows under a budget in USD; raises :class:`InfeasibleAllocation` where nothing keeps it."""
    ignores_side_constraints: bool = False
    ignores_pair_rules: bool = False
    library: str = "numpy"
    """What solves it, as shown in the lineage."""

    def unsupported(self, problem: AllocationProblem) -> tuple[str, ...]:
        """The fields of the problem that are in use and that this policy cannot keep."""
        side = problem.side_constraints if self.ignores_side_constraints else ()
        pairs = PAIR_RULES if self.ignores_pair_rules else ()
        return side + tuple(name for name in pairs if getattr(problem, name) is not None)
