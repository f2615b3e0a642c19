"""Allocate a batch of instructions to models under one hard budget in estimated cost, with a certificate.

Needs numpy and OR-Tools and, of this project, only the engine and the foundation.
"""

from routing_assets.allocation.allocate import allocate, unsupported_constraints
from routing_assets.allocation.answer import Allocation
from routing_assets.allocation.answer_files import AnswerFile, AnswerFolder
from routing_assets.allocation.by_sweeps import PartedAllocation, PartedProblem, allocate_parts
from routing_assets.allocation.carry_out import AnswerPart, keep_choice
from routing_assets.allocation.chunked import ChunkedAllocation, allocate_chunks
from routing_assets.allocation.errors import (
    InfeasibleAllocation,
    InfeasibleBudget,
    InfeasibleConstraints,
    InfeasibleTarget,
    TooManyRows,
    UndecidedAllocation,
)
from routing_assets.allocation.frontier import Frontier, LeastBudget, frontier, least_budget
from routing_assets.allocation.parts import ArrayPart, ParquetFile, Part, WidePart
from routing_assets.allocation.policies import DEFAULT_POLICY, POLICIES
from routing_assets.allocation.policy import Policy
from routing_assets.allocation.problem import AllocationProblem, ExtraBudget

__all__ = [
    "DEFAULT_POLICY",
    "POLICIES",
    "Allocation",
    "AllocationProblem",
    "AnswerFile",
    "AnswerFolder",
    "AnswerPart",
    "ArrayPart",
    "ChunkedAllocation",
    "ExtraBudget",
    "Frontier",
    "InfeasibleAllocation",
    "InfeasibleBudget",
    "InfeasibleConstraints",
    "InfeasibleTarget",
    "LeastBudget",
    "ParquetFile",
    "Part",
    "PartedAllocation",
    "PartedProblem",
    "Policy",
    "TooManyRows",
    "UndecidedAllocation",
    "WidePart",
    "allocate",
    "allocate_chunks",
    "allocate_parts",
    "frontier",
    "keep_choice",
    "least_budget",
    "unsupported_constraints",
]
