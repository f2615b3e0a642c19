"""Small batches with known frontiers."""

from datetime import datetime, timedelta

import numpy as np

from routing_assets.allocation import AllocationProblem
from routing_assets.pacing import PacingState, PastBatch, spend_curve

START = datetime(2026, 6, 1)  # a Monday
END = datetime(2026, 7, 1)


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def random_problem(seed: int, n: int = 20, scale: float = 1.0) -> AllocationProblem:
    rng = np.random.default_rng(seed)
    cost = scale * np.array([0.01, 0.03, 0.1]) * rng.uniform(0.5, 2, (n, 1))
    return AllocationProblem(np.sort(rng.random((n, 3)), axis=1), cost, np.inf)


def equal_problem(n: int = 10) -> AllocationProblem:
    """Every instruction alike: 0.1 USD for 0.5, or 1.1 USD for 0.9; so all steps tie at 0.4 successes per USD."""
    return AllocationProblem(np.tile([0.5, 0.9], (n, 1)), np.array([0.1, 1.1]), np.inf)


def past(problem: AllocationProblem, days: float, usd: float, urgent: bool = False) -> PastBatch:
    return PastBatch(at(days), usd, spend_curve(problem), urgent)


def state(*batches: PastBatch, carried: float = 0.0) -> PacingState:
    return PacingState(START, END, batches, carried)
