"""Problems of many kinds, and their decisions in one line each: what a ledger entry's replay must find again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from routing_assets.allocation import (
    POLICIES,
    Allocation,
    AllocationProblem,
    InfeasibleAllocation,
    InfeasibleBudget,
    allocate,
)

RECORDED = Path(__file__).with_name("decisions.json")
"""Digests by policy, kind and shape: written before there were sweeps. Only new names may be added."""

KINDS = ("plain", "bucketed", "tied", "forbidden", "doubled", "flat", "unpriced")


def problem_of(kind: str, n: int, k: int, seed: int, budget: float) -> AllocationProblem:
    """A problem of a kind; ``budget`` is 0 at the cost of the cheapest assignment and 1 at that of the dearest."""
    rng = np.random.default_rng([n, k, seed])
    success, cost = rng.random((n, k), dtype=np.float32), rng.random((n, k), dtype=np.float32)
    forbidden = None
    if kind in ("bucketed", "tied"):
        success = np.round(success * 10) / np.float32(10)
    if kind == "tied":
        cost = np.round(cost[0], 2) + np.float32(0.01)
    if kind == "forbidden":
        success = success.astype(np.float64)
        forbidden = (rng.random((n, k)) < 0.3) & (np.arange(k) > 0)
    if kind == "doubled":
        success, cost = np.repeat(success[:, :1], k, axis=1).astype(np.float64), cost.astype(np.float64)
    if kind == "flat":
        cost = np.linspace(0.5, 1.5, k)
    if kind == "unpriced":
        cost = np.zeros(k, np.float32)
    whole = np.broadcast_to(cost, success.shape).astype(np.float64)
    least, most = whole.min(axis=1).sum(), whole.max(axis=1).sum()
    usd = math.inf if math.isinf(budget) else float(least + budget * (most - least))
    return AllocationProblem(success, cost, usd, forbidden=forbidden)


def problems() -> Iterator[tuple[str, AllocationProblem, int]]:
    """Yield the name, the problem and the seed of each case."""
    shapes = [(1, 1), (1, 4), (2, 3), (7, 2), (40, 5), (700, 8), (9_000, 16), (70_000, 8)]
    for n, k in shapes:
        for kind in KINDS:
            for budget in (0.0, 0.07, 0.4, 0.97, math.inf):
                if n < 9_000 or budget in (0.07, 0.4):
                    seed = int(budget * 100) if math.isfinite(budget) else 7
                    yield f"{kind} {n} x {k} at {budget}", problem_of(kind, n, k, seed, budget), seed


def line(answer: Allocation) -> str:
    """A decision with its certificate as one line, with floats in full precision."""
    choice = hashlib.sha256(np.asarray(answer.choice, np.int16).tobytes()).hexdigest()[:16]
    certificate = [answer.status, answer.expected_success, answer.total_cost, answer.upper_bound, answer.shadow_price]
    return json.dumps([choice, *certificate, dict(answer.notes), list(answer.binding)])


def as_said_then(error: InfeasibleBudget) -> str:
    """The message with all digits, as it was when the decisions were recorded."""
    under = f" under {', '.join(error.constraints)}" if error.constraints else ""
    return (
        f"a budget of {error.budget!r} USD cannot pay for the batch with policy '{error.policy}'{under}: "
        f"the cheapest feasible budget is {error.cheapest_budget!r} USD"
    )


def decisions() -> Iterator[tuple[str, str]]:
    """Policy and problem, and the line of its decision or the reason why there is none."""
    for name, problem, seed in problems():
        for policy in POLICIES:
            if problem.forbidden is not None and policy.startswith("ndch"):
                continue
            for exact in (False, True) if policy == "mip" and len(problem) <= 40 else (False,):
                try:
                    found = line(allocate(problem, policy, seed=seed, exact=exact))
                except InfeasibleBudget as error:
                    found = as_said_then(error)
                except InfeasibleAllocation as error:
                    found = str(error)
                yield f"{policy}{' exactly' if exact else ''}, {name}", found


def digests() -> dict[str, str]:
    """One hash per policy, kind and shape, over the decisions at all budgets."""
    lines: dict[str, str] = {}
    for name, found in decisions():
        group = name.split(" at ")[0]
        lines[group] = f"{lines.get(group, '')}{found}\n"
    return {group: hashlib.sha256(text.encode()).hexdigest()[:16] for group, text in lines.items()}


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(digests(), indent=0) + "\n")
