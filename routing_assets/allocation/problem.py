"""The allocation problem: one model per instruction, one hard budget, and optional side constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from routing_assets.allocation import validation as check
from routing_assets.foundation.errors import InvalidInput

SIDE_CONSTRAINTS = (
    "min_share",
    "max_share",
    "capacity",
    "token_capacity",
    "mean_latency",
    "group_floor",
    "max_group_gap",
    "max_changes",
    "extra_budgets",
)
"""The fields of a problem that tie instructions together beyond the budget."""

PerModel = Mapping[str, float] | Sequence[float] | np.ndarray


@dataclass(frozen=True, eq=False)
class ExtraBudget:
    """A second resource with a hard limit, such as GPU-seconds: ``usage`` (K,) or (N, K), ``limit`` for the batch.

    ``constraint`` names the constraint that it stands for, such as ``capacity[big]``; by default itself.
    """

    name: str
    usage: np.ndarray
    limit: float
    constraint: str | None = None


@dataclass(frozen=True, eq=False)
class AllocationProblem:
    """Assign one of K models to each of N instructions: maximise expected success, never exceed the budget.

    Inputs are validated here; an invalid one raises :class:`InvalidInput` naming row and model.
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
        _check_constraints(self, put)

    def __len__(self) -> int:
        return int(self.success.shape[0])

    @property
    def n_models(self) -> int:
        return int(self.success.shape[1])

    @cached_property
    def cost_matrix(self) -> np.ndarray:
        """Costs as (N, K); a broadcast view if costs are per model."""
        return np.broadcast_to(self.cost, self.success.shape)

    @cached_property
    def allowed(self) -> np.ndarray | None:
        """(N, K) bool, True for pairs that ``forbidden`` and ``max_latency`` allow; None if neither is given."""
        barred = self.forbidden
        if self.max_latency is not None and not math.isinf(self.max_latency):
            slow = np.broadcast_to(np.asarray(self.latency) > self.max_latency, self.success.shape)
            barred = slow if barred is None else barred | slow
        return None if barred is None else ~barred

    @property
    def side_constraints(self) -> tuple[str, ...]:
        """The fields in use that tie instructions together beyond the budget."""
        used = tuple(name for name in SIDE_CONSTRAINTS[:-1] if getattr(self, name) is not None)
        extra = (("extra_budgets" if e.constraint is None else e.constraint.split("[")[0]) for e in self.extra_budgets)
        return (*used, *dict.fromkeys(extra))

    def chosen(self, matrix: np.ndarray, choice: np.ndarray) -> np.ndarray:
        """Return each instruction's entry of a (N, K) ``matrix`` at its chosen model, (N,)."""
        return matrix[np.arange(len(self)), choice]


def _check_constraints(problem: AllocationProblem, put: Callable[[str, Any], None]) -> None:
    """Normalise and check every optional constraint of a problem; ``put`` writes the frozen fields."""
    n, models = len(problem), tuple(problem.models or ())
    for name, default, high in (
        ("min_share", 0.0, 1.0),
        ("max_share", 1.0, 1.0),
        ("capacity", math.inf, math.inf),
        ("token_capacity", math.inf, math.inf),
    ):
        if getattr(problem, name) is not None:
            put(name, check.per_model(getattr(problem, name), name, models, default, high))
    _needs(problem, "token_capacity", "tokens")
    if problem.tokens is not None:
        tokens = check.as_floats(problem.tokens, "tokens")
        tokens = tokens[:, None] if tokens.shape == (n,) else tokens
        if tokens.shape not in ((n, 1), (n, len(models))):
            raise InvalidInput(f"tokens has shape {tokens.shape}, and must be ({n},) or ({n}, {len(models)})")
        check.in_range(tokens, "tokens", None, low=0.0, high=math.inf)
        put("tokens", tokens)
    _latency(problem, put)
    _groups(problem, put)
    if problem.forbidden is not None:
        forbidden = np.asarray(problem.forbidden)
        if forbidden.dtype != np.bool_ or forbidden.shape != problem.success.shape:
            raise InvalidInput(
                f"forbidden must be bool of shape {problem.success.shape}, not {forbidden.dtype} {forbidden.shape}"
            )
        put("forbidden", forbidden)
    for extra in problem.extra_budgets:
        check.per_model_or_pair(extra.usage, f"usage of extra budget '{extra.name}'", models, n)
        check.limit(extra.limit, f"limit of extra budget '{extra.name}'")
    put("extra_budgets", tuple(problem.extra_budgets))
    _churn(problem, put)


def _needs(problem: AllocationProblem, name: str, needed: str) -> None:
    if getattr(problem, name) is not None and getattr(problem, needed) is None:
        raise InvalidInput(f"{name} needs {needed}", remedy=f"Pass {needed} as well")


def _latency(problem: AllocationProblem, put: Callable[[str, Any], None]) -> None:
    for name in ("mean_latency", "max_latency"):
        _needs(problem, name, "latency")
        if getattr(problem, name) is not None:
            put(name, check.limit(getattr(problem, name), name))
    if problem.latency is not None:
        put("latency", check.per_model_or_pair(problem.latency, "latency", problem.models, len(problem)))


def _groups(problem: AllocationProblem, put: Callable[[str, Any], None]) -> None:
    for name in ("group_floor", "max_group_gap"):
        _needs(problem, name, "group")
    if problem.group is None:
        return
    group = np.asarray(problem.group).astype(str)
    if group.shape != (len(problem),):
        raise InvalidInput(f"group has shape {group.shape}, and must be ({len(problem)},)")
    put("group", group)
    labels = [str(label) for label in np.unique(group)]
    floor = problem.group_floor
    if floor is not None:
        by_label = {str(k): v for k, v in floor.items()} if isinstance(floor, Mapping) else dict.fromkeys(labels, floor)
        unknown = [label for label in by_label if label not in labels]
        if unknown:
            raise InvalidInput(
                f"group_floor names unknown groups: {', '.join(unknown)}", remedy=f"Known: {', '.join(labels)}"
            )
        floors = {label: check.limit(value, f"group_floor of '{label}'") for label, value in by_label.items()}
        if endless := [label for label, value in floors.items() if math.isinf(value)]:
            raise InvalidInput(f"group_floor of '{endless[0]}' is inf", remedy="Give a mean success from 0 to 1")
        put("group_floor", floors)
    if problem.max_group_gap is not None:
        gap = check.limit(problem.max_group_gap, "max_group_gap")
        put("max_group_gap", gap if math.isfinite(gap) else None)


def _churn(problem: AllocationProblem, put: Callable[[str, Any], None]) -> None:
    _needs(problem, "max_changes", "previous")
    if problem.previous is None:
        return
    previous = np.asarray(problem.previous)
    if previous.shape != (len(problem),) or previous.dtype.kind not in "iu":
        raise InvalidInput(f"previous must hold {len(problem)} model indices")
    wrong = np.flatnonzero((previous < -1) | (previous >= problem.n_models))
    if wrong.size:
        raise InvalidInput(f"previous is {previous[wrong[0]]}, and must be -1 or a model index", row=int(wrong[0]))
    put("previous", previous.astype(np.intp))
    if problem.max_changes is not None:
        changes = check.limit(problem.max_changes, "max_changes")
        put("max_changes", int(changes) if math.isfinite(changes) else None)
