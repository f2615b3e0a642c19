"""A world whose true probabilities are known, so that the best a policy can do is known too."""

import numpy as np

from routing_assets.evaluation.evaluation import Evaluation
from routing_assets.evaluation.policies import TestSplit, budgets, follow_all
from routing_assets.evaluation.results import SeedResult
from routing_assets.pricing.spend import CostEstimate

MODELS = ("large", "middle", "small")
PRICES = np.array([1.0, 0.4, 0.1])
FRACTIONS = np.array([0.05, 0.1, 0.2, 0.4, 0.7, 1.0])


def planted_split(seed=0, n=600, informed=True, token_costs=False, dear_for_long=False) -> TestSplit:
    """Difficulty in [0, 1] per instruction: every model fails more on harder ones, the small one soonest.

    With ``token_costs`` calls differ in size, at random or, ``dear_for_long``, with the difficulty.
    """
    rng = np.random.default_rng(seed)
    difficulty = rng.random(n)[:, None]
    probability = 1 / (1 + np.exp(8 * (difficulty - np.array([1.0, 0.7, 0.4]))))
    success = (rng.random((n, 3)) < probability).astype(np.float32)
    estimate = (probability if informed else np.tile(probability.mean(axis=0), (n, 1))).astype(np.float32)
    cost = np.tile(PRICES, (n, 1))
    costs = {"mean": CostEstimate(cost, np.zeros((n, 3)), np.zeros(3))}
    if token_costs:
        size = 0.2 + 1.6 * difficulty if dear_for_long else rng.uniform(0.5, 1.5, (n, 1))
        costs["mean"] = CostEstimate(cost, 0.35 * cost, np.zeros(3))
        costs["token_aware"] = CostEstimate(cost * size, 0.2 * cost * size, np.full(3, 0.01))
        cost = cost * size * rng.normal(1, 0.2, (n, 3)).clip(0.1)
    estimates = dict.fromkeys(("decision", "raw", "scaled", "calibrated", "knn"), estimate)
    return TestSplit(MODELS, success, cost, estimates, costs, seed)


def budgets_for(split: TestSplit) -> np.ndarray:
    return budgets(split.cost, FRACTIONS)


def planted_result(seed=0, component=None, **world) -> SeedResult:
    split = planted_split(seed, **world)
    budget = budgets_for(split)
    n = len(split.success)
    return SeedResult(
        seed=seed,
        rows=np.arange(n),
        tested=n,
        component=seed % 10 * n + np.arange(n) if component is None else component,
        budget=budget,
        success=split.success,
        cost=split.cost,
        costs_recorded=1.0,
        outcomes=follow_all(split, budget),
        probabilities={step: split.estimates[step] for step in ("raw", "scaled", "calibrated", "decision")},
        knn={"neighbours": 8, "prior_weight": 2.0, "log_loss": 0.5},
        decision="scaled: planted",
        cost_model={"mode": "mean"},
        timings={"allocate": 0.1},
    )


def planted_evaluation(seeds=3, simulated=True, replicates=60, first=0, **world) -> Evaluation:
    return Evaluation(
        dataset="planted",
        simulated=simulated,
        models=MODELS,
        label_hash="0" * 64,
        catalog_version=None,
        budget_fractions=FRACTIONS,
        replicates=replicates,
        seeds=[planted_result(seed, **world) for seed in range(first, first + seeds)],
        seconds=1.0,
    )
