"""Allocate a batch of instructions to models under one hard budget in estimated cost: exact, certified, constrained.

Stands on its own: numpy and OR-Tools, no other room of the project.
"""

from routing_assets.allocation.allocate import allocate, unsupported_constraints
from routing_assets.allocation.answer import Allocation
from routing_assets.allocation.chunked import ChunkedAllocation, allocate_chunks
from routing_assets.allocation.errors import (
    InfeasibleAllocation,
    InfeasibleBudget,
    InfeasibleConstraints,
    InfeasibleTarget,
    UndecidedAllocation,
)
from routing_assets.allocation.frontier import Frontier, LeastBudget, frontier, least_budget
from routing_assets.allocation.policies import DEFAULT_POLICY, POLICIES
from routing_assets.allocation.policy import Policy
from routing_assets.allocation.problem import AllocationProblem, ExtraBudget

__all__ = [
    "DEFAULT_POLICY",
    "POLICIES",
    "Allocation",
    "AllocationProblem",
    "ChunkedAllocation",
    "ExtraBudget",
    "Frontier",
    "InfeasibleAllocation",
    "InfeasibleBudget",
    "InfeasibleConstraints",
    "InfeasibleTarget",
    "LeastBudget",
    "Policy",
    "UndecidedAllocation",
    "allocate",
    "allocate_chunks",
    "frontier",
    "least_budget",
    "unsupported_constraints",
]
