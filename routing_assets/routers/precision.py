"""Whether a router may score in bf16: held-out instructions, scored both ways, are allocated under many budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.router import Router

LEAST_EQUAL_DECISIONS = 0.999
MOST_LOG_LOSS_APART = 1e-3
MOST_SUCCESS_LOST = 1e-6
PRICE_LISTS = 5
BUDGET_SHARES = tuple(np.linspace(0.05, 0.95, 10))
"""Budgets that are tried: shares of the way from the cost of the cheapest choices to that of the most successful."""


@dataclass(frozen=True)
class PrecisionComparison:
    """What scoring in bf16 changes against fp32, and whether that is little enough."""

    rows: int
    equal_decisions: float
    """Mean share of the instructions that get the same model, over all budgets."""
    log_loss_apart: float
    """Absolute difference of the mean log-loss over all labelled pairs."""
    success_lost: float
    """Mean expected success, by fp32, that is lost by deciding in bf16; mean over all budgets."""

    @property
    def accepted(self) -> bool:
        """Whether bf16 may decide."""
        return (
            self.equal_decisions >= LEAST_EQUAL_DECISIONS
            and self.log_loss_apart <= MOST_LOG_LOSS_APART
            and self.success_lost <= MOST_SUCCESS_LOST
        )

    def __str__(self) -> str:
        return (
            f"on {self.rows:,} held-out instructions {self.equal_decisions:.3%} of the decisions are those of fp32 "
            f"({LEAST_EQUAL_DECISIONS:.1%} needed), the log-loss differs by {self.log_loss_apart:.2g} "
            f"({MOST_LOG_LOSS_APART:g} allowed), and {self.success_lost:.2g} of the expected success is lost "
            f"({MOST_SUCCESS_LOST:g} allowed)"
        )


def compare_precisions(
    fp32: np.ndarray, bf16: np.ndarray, success: np.ndarray, costs: Sequence[np.ndarray]
) -> PrecisionComparison:
    """What deciding by the probabilities ``bf16`` (N, K) changes against ``fp32`` (N, K).

    Args:
        success: (N, K) labels; NaN where there is none.
        costs: price lists, each USD of every call (N, K). Each is tried at the budgets of :data:`BUDGET_SHARES`.
    """
    rows = np.arange(len(fp32))
    equal, lost = [], []
    for cost in costs:
        least, most = cost.min(axis=1).sum(), cost[rows, fp32.argmax(axis=1)].sum()
        for share in BUDGET_SHARES:
            budget = float(least + share * (most - least))
            one, other = (allocate(AllocationProblem(p, cost, budget)).choice for p in (fp32, bf16))
            equal.append(np.mean(one == other))
            lost.append(np.mean(fp32[rows, one].astype(np.float64) - fp32[rows, other]))
    apart = abs(_log_loss(bf16, success) - _log_loss(fp32, success))
    return PrecisionComparison(len(fp32), float(np.mean(equal)), apart, float(np.mean(lost)))


def in_bf16(router: Router, held_out: LabelledInstructions, seed: int = 0) -> tuple[Router, PrecisionComparison]:
    """The router, scoring in bf16, and what that changes on instructions it did not learn from.

    Prices change more often than routers, so random prices per token are used, over two orders of magnitude.

    Raises:
        InvalidInput: it changes too much; the figures say what.
    """
    faster = router.with_precision("bf16")
    fp32, bf16 = (r.predict(held_out.instruction, held_out.task).decision for r in (router, faster))
    order = [router.models.index(model) for model in held_out.models]
    tokens, rng = proxy_tokens(held_out.instruction), np.random.default_rng(seed)
    costs = [np.outer(tokens, np.power(10.0, rng.uniform(-8, -6, len(order)))) for _ in range(PRICE_LISTS)]
    compared = compare_precisions(fp32[:, order], bf16[:, order], held_out.success, costs)
    if not compared.accepted:
        raise InvalidInput(
            f"bf16 would change decisions: {compared}", source="precision", remedy="Train with precision fp32."
        )
    return faster, compared


def _log_loss(probability: np.ndarray, success: np.ndarray) -> float:
    known = ~np.isnan(success)
    p, label = np.clip(probability[known].astype(np.float64), 1e-7, 1 - 1e-7), success[known]
    return float(-np.mean(label * np.log(p) + (1 - label) * np.log1p(-p)))
