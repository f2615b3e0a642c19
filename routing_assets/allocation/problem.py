"""The allocation problem: one model per instruction, one hard budget, and the constraints that go with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from routing_assets.allocation import validation as check

PerModel = Mapping[str, float] | Sequence[float] | np.ndarray


@dataclass(frozen=True, eq=False)
class ExtraBudget:
    """A second resource with a hard limit, such as GPU-seconds: ``usage`` (K,) or (N, K), ``limit`` for the batch."""

    name: str
    usage: np.ndarray
    limit: float


@dataclass(frozen=True, eq=False)
class AllocationProblem:
    """Assign one of K models to each of N instructions: most expected successes, never over the budget.

    Inputs are validated once, here; a bad one raises :class:`~routing_assets.errors.InvalidInput` naming row and model.
    float32 matrices are kept as they are. Per-model values are a mapping from model name or a sequence of length K
    (None, NaN or a missing name: no limit).
    """

    success: np.ndarray
    """(N, K) probability in [0, 1] that the model answers the instruction well."""
    cost: np.ndarray
    """USD, (K,) per call of a model or (N, K) per instruction and model; not negative."""
    budget: float
    """USD for the whole batch; may be ``math.inf``."""
    models: Sequence[str] | None = None
    """Names, length K; ``model_0`` … by default."""

    min_share: PerModel | None = None
    """Least fraction of the batch per model, in [0, 1]; rounded up to whole instructions."""
    max_share: PerModel | None = None
    """Greatest fraction of the batch per model, in [0, 1]; rounded down to whole instructions."""
    capacity: PerModel | None = None
    """Greatest number of instructions per model."""
    token_capacity: PerModel | None = None
    """Greatest number of tokens per model; needs ``tokens``."""
    tokens: np.ndarray | None = None
    """(N,) or (N, K) tokens of each call."""
    latency: np.ndarray | None = None
    """Seconds, (K,) per model or (N, K)."""
    mean_latency: float | None = None
    """Greatest mean latency over the batch, seconds."""
    max_latency: float | None = None
    """Greatest latency of any single call, seconds."""
    forbidden: np.ndarray | None = None
    """(N, K) bool, True where an instruction must not go to a model (context length, residency, capability)."""
    group: np.ndarray | None = None
    """(N,) label per instruction (tenant, task …) for the two constraints below."""
    group_floor: Mapping[str, float] | float | None = None
    """Least mean expected success of a group; one number for all groups or a mapping from label."""
    max_group_gap: float | None = None
    """Greatest difference of mean expected success between any two groups."""
    extra_budgets: Sequence[ExtraBudget] = ()
    previous: np.ndarray | None = None
    """(N,) model index each instruction had before; -1 where it is new."""
    max_changes: int | None = None
    """Greatest number of instructions that may leave their ``previous`` model; new instructions do not count."""

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 - frozen, normalised once
        success = check.success_matrix(self.success)
        put("success", success)
        put("models", check.model_names(self.models, success.shape[1]))
        put("cost", check.per_model_or_pair(self.cost, "cost", self.models, success.shape[0]))
        put("budget", check.limit(self.budget, "budget"))
        check.constraints(self, put)

    def __len__(self) -> int:
        return int(self.success.shape[0])

    @property
    def n_models(self) -> int:
        return int(self.success.shape[1])

    @cached_property
    def cost_matrix(self) -> np.ndarray:
        """Costs as (N, K); a view without memory of its own where costs are per model."""
        return np.broadcast_to(self.cost, self.success.shape)

    @cached_property
    def allowed(self) -> np.ndarray | None:
        """(N, K) bool of the pairs that ``forbidden`` and ``max_latency`` leave, or None where neither is given."""
        barred = self.forbidden
        if self.max_latency is not None and not math.isinf(self.max_latency):
            slow = np.broadcast_to(np.asarray(self.latency) > self.max_latency, self.success.shape)
            barred = slow if barred is None else barred | slow
        return None if barred is None else ~barred

    @property
    def side_constraints(self) -> tuple[str, ...]:
        """The fields in use that tie instructions together beyond the budget."""
        names = (
            "min_share",
            "max_share",
            "capacity",
            "token_capacity",
            "mean_latency",
            "group_floor",
            "max_group_gap",
            "max_changes",
        )
        used = tuple(name for name in names if getattr(self, name) is not None)
        return (*used, "extra_budgets") if self.extra_budgets else used

    def chosen(self, matrix: np.ndarray, choice: np.ndarray) -> np.ndarray:
        """Return each instruction's entry of a (N, K) ``matrix`` at its chosen model, (N,)."""
        return matrix[np.arange(len(self)), choice]
