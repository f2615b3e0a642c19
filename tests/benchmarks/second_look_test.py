"""Speed of second looks: plan and second round against the one-shot solve of the same batch, in one run:
``pytest -m benchmark -s tests/benchmarks/second_look_test.py``.

The batch has 100,000 instructions and 16 models, each of which may be asked first. Only the ratio is claimed; the gap
and the memory are asserted.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.allocation.second_look import FirstRound, decide_second_round, plan_first_round
from routing_assets.prediction.calibration.temperatures import sigmoid
from routing_assets.prediction.second_look import Lookahead, fit_lookahead

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
N, KNOWN, K = 100_000, 3_000, 16


def logits_and_cost(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Correlated logits, and prices that rise with skill; calls of long instructions cost more."""
    skill, price = np.linspace(-0.5, 2.0, K), np.geomspace(0.05, 2.0, K) * 1e-3
    logits = skill + rng.normal(0, 1, (n, 1)) + rng.normal(0, 0.8, (n, K))
    return logits.astype(np.float32), price * rng.lognormal(0, 0.4, (n, 1))


def answered(logits: np.ndarray, first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, K) probabilities after the answer of a first model: its own moves most, the others' a little."""
    shift = rng.normal(0, 1.2, (len(logits), 1))
    own = np.where(np.arange(K) == first[:, None], 1.0, 0.4)
    return sigmoid(logits + own * shift).astype(np.float32)


def lookahead(rng: np.random.Generator) -> Lookahead:
    logits, cost = logits_and_cost(KNOWN, rng)
    after = np.stack([answered(logits, np.full(KNOWN, j), rng) for j in range(K)])
    return fit_lookahead(logits, after, cost, range(K))


def test_plan_and_second_round_against_one_shot() -> None:
    rng = np.random.default_rng(0)
    looks = lookahead(rng)
    logits, cost = logits_and_cost(N, rng)
    success = sigmoid(logits)
    features = success
    budget = 0.3 * float(cost.mean(axis=0).max()) * N
    after = {}

    def once() -> None:
        allocate(AllocationProblem(success, cost, budget))

    def plan() -> FirstRound:
        return plan_first_round(
            success, cost, budget, lambda price: looks.columns(features, cost, price), looks.first
        )

    ours, planned = timed(plan)
    one, _ = timed(once)
    first = planned.choice
    after = answered(logits, first, rng)
    left = budget - float(cost[np.arange(N), first].sum())
    second, decided = timed(lambda: decide_second_round(after, cost, first, left))
    tracemalloc.start()
    plan()
    decide_second_round(after, cost, first, left)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(one, ours, second, planned.looked_at.mean(), (decided.choice != first).mean(), planned.allocation.gap, decided.gap, peak / 2**20, planned.expected_success, allocate(AllocationProblem(success, cost, budget)).expected_success)


def timed(run, repeats: int = 3):
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        result = run()
        best = min(best, time.process_time() - start)
    return best, result
