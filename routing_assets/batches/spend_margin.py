"""The part of a budget that is held back so that the true spend stays within it, although costs are estimates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from routing_assets.allocation import (
    Allocation,
    AllocationProblem,
    InfeasibleAllocation,
    InfeasibleBudget,
    allocate,
)
from routing_assets.batches.policy import RoutingSettings, allocation_problem
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.held_out_spend import (
    LEAST_CALLS,
    HeldOutCalls,
    SpendRatio,
    calibrated_share,
    corresponding_budget,
    spend_ratio,
)
from routing_assets.pricing.spend import CostEstimate

Solve = Callable[[AllocationProblem], Allocation]
_OF_THIS_BATCH = ("max_changes", "group_floor", "max_group_gap")
_GAP = 1e-3  # of a held-out allocation with side constraints, which is only measured
CALIBRATED, CAUTIOUS = "held-out decisions", "bound for any law"


@dataclass(frozen=True, eq=False)
class SafeAllocation:
    """The allocation of a share of the budget, the probability of overspending that remains, and where the share comes
    from: ``method``, ``held_out_calls`` behind it and the ``expected_ratio`` of realised to estimated spend. The last
    two are absent from decisions taken before they were recorded.
    """

    allocation: Allocation
    overspend_probability: float
    margin: Mapping[str, Any] | None


def allocate_safely(
    solve: Solve,
    full: Allocation,
    estimate: CostEstimate,
    settings: RoutingSettings,
    catalog: ModelCatalog | None,
    held_out: HeldOutCalls | None,
    left_out: Mapping[str, Any],
) -> SafeAllocation:
    """Allocate so much of the budget that the realised spend keeps all of it with the confidence of the settings.

    Held-out instructions are allocated as the batch is, and their realised spend over its estimate says how much that
    is. With too few of them, a bound that holds for any distribution of the costs decides.

    Args:
        full: the allocation of the whole budget.
        left_out: fields of the problem that the policy cannot keep.

    Raises:
        InfeasibleAllocation: what is left is too little.
    """
    problem, confidence = full.problem, settings.confidence or 0.0
    calibrated = None
    if held_out is not None:
        decide = partial(_decision, held_out, full, settings, catalog, left_out)
        calibrated = calibrated_share(decide, confidence)
    if calibrated is None:
        share = estimate.safe_share(full.choice, confidence)
        allocation = _at_share(solve, problem, share, confidence)
        overspend = estimate.forecast(allocation.choice).overspend_probability(problem.budget)
        calls = 0 if held_out is None else int(np.isfinite(held_out.cost).any(axis=1).sum())
        return SafeAllocation(allocation, overspend, {"method": CAUTIOUS, "held_out_calls": calls})
    share, ratio = calibrated
    allocation = _at_share(solve, problem, share, confidence)
    spend = float(estimate.mean[np.arange(len(problem)), allocation.choice].sum())
    overspend = ratio.probability_above(problem.budget / spend) if spend else 0.0
    margin = {"method": CALIBRATED, "held_out_calls": ratio.calls, "expected_ratio": ratio.expected}
    return SafeAllocation(allocation, overspend, margin)


def allocate_as_recorded(solve: Solve, problem: AllocationProblem, summary: Mapping[str, Any]) -> SafeAllocation:
    """Allocate what a past decision did, by its summary: held-out calls are not kept forever."""
    allocation = solve(replace(problem, budget=summary["allocated_usd"]))
    return SafeAllocation(allocation, summary["overspend_probability"], summary.get("spend_margin"))


def margin_in_words(summary: Mapping[str, Any]) -> str:
    """What is held back of a batch's budget, and why; for people. The summary is that of a batch with a confidence."""
    margin = summary.get("spend_margin") or {}
    said = (
        f"{summary['budget_usd'] - summary['allocated_usd']:.6g} USD are held back, because costs are estimates; the "
        f"true spend exceeds the budget with a probability of {summary['overspend_probability']:.1%}"
    )
    if margin.get("method") == CALIBRATED:
        return f"{said}, by the decisions on {margin['held_out_calls']} held-out calls"
    if margin.get("method") == CAUTIOUS:
        return (
            f"{said}: {margin['held_out_calls']} held-out calls with recorded costs are too few to calibrate "
            f"on ({LEAST_CALLS} are needed), so that more is held back than probably needed"
        )
    return said


def _at_share(solve: Solve, problem: AllocationProblem, share: float, confidence: float) -> Allocation:
    """The allocation at a share of the budget; where that is too little, the error names what is held back."""
    try:
        return solve(replace(problem, budget=problem.budget * share))
    except InfeasibleBudget as error:
        held_back = f"confidence {confidence:g} holds back {1 - share:.1%} of {problem.budget!r} USD"
        raise InfeasibleAllocation(f"{held_back}, and {error}") from error


def _decision(
    held_out: HeldOutCalls,
    full: Allocation,
    settings: RoutingSettings,
    catalog: ModelCatalog | None,
    left_out: Mapping[str, Any],
    share: float,
) -> SpendRatio | None:
    """Realised over estimated spend when held-out instructions are allocated a share of the corresponding budget."""
    batch = full.problem
    of_all = {name: value for name, value in settings.constraints.items() if name not in _OF_THIS_BATCH}
    problem = allocation_problem(
        held_out.success,
        held_out.estimate.mean,
        full.models,
        replace(settings, constraints=of_all),
        budget=corresponding_budget(batch.budget * share, batch.cost_matrix, held_out.estimate.mean),
        catalog=catalog,
        tokens=held_out.tokens,
    )
    scaled = {
        name: getattr(problem, name) * (len(held_out) / len(batch))
        for name in ("capacity", "token_capacity")
        if getattr(problem, name) is not None
    }
    problem = replace(problem, **(scaled | dict(left_out)))
    gap = _GAP if problem.side_constraints else None
    try:
        choice = allocate(problem, full.policy, target=settings.target, seed=settings.seed, relative_gap=gap).choice
    except InfeasibleAllocation:
        return None
    return spend_ratio(held_out, choice, len(batch), settings.seed)
