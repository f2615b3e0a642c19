"""Both rounds, carried out on instructions whose answers are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from routing_assets.allocation.second_look import FirstRound, decide_second_round, plan_first_round
from routing_assets.prediction.second_look.plan import BatchLooks, Matrix

After = Callable[[NDArray[np.integer]], Matrix]
"""The (N, K) probabilities once the first model of each instruction (N,) has answered."""


def carry_out(
    looks: BatchLooks, after: After, cost: NDArray[np.floating], budget: float
) -> tuple[FirstRound, NDArray[np.integer]]:
    """The plan, and the model (N,) whose answer is used in the end. The second round has what the first one leaves.

    Args:
        cost: (N, K) USD that the calls really cost; the plan knows the estimates of ``looks``.
        budget: USD for both rounds.

    Raises InfeasibleBudget where one call per instruction is too much.
    """
    plan = plan_first_round(looks.alone, looks.cost, budget, looks, looks.lookahead.first)
    spent = float(cost[np.arange(len(cost)), plan.choice].sum())
    return plan, decide_second_round(after(plan.choice), looks.cost, plan.choice, budget - spent).choice
