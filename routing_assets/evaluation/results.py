"""What an evaluation records, per seed, policy and budget: the realised outcome of every test instruction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:  # it brings torch, which the command line does without
    from routing_assets.prediction.second_look import FirstModelQuality


@dataclass(frozen=True, eq=False)
class PolicyOutcome:
    """What one policy did with the test split of one seed, at each of F budgets; NaN where the budget was infeasible.

    Attributes:
        success: (F, n) realised success of each instruction under the model chosen for it; its expectation for
            policies that mix at random.
        cost: (F, n) USD that the call really cost.
        traffic: (F, K) share of the instructions that each model got.
        predicted_success: (F,) mean success that the policy expected.
        predicted_cost: (F,) USD that the policy expected to spend.
        overspend_probability: (F,) probability, forecast beforehand, of spending more than the budget.
    """

    success: np.ndarray
    cost: np.ndarray
    traffic: np.ndarray
    predicted_success: np.ndarray
    predicted_cost: np.ndarray
    overspend_probability: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class TestedPolicies:
    """What policies did with the test rows of one split.

    Attributes:
        component: (n,) which rows are related (equal text or group); related rows are resampled together.
        budget: (F,) USD.
        success: (n, K) true labels.
        cost: (n, K) USD, true costs, or estimates where none was recorded.
        outcomes: by policy name.
    """

    __test__ = False  # not a pytest class

    component: np.ndarray
    budget: np.ndarray
    success: np.ndarray
    cost: np.ndarray
    outcomes: Mapping[str, PolicyOutcome]

    @property
    def best_single(self) -> int:
        """The model with the highest success on the test split."""
        return best_model(self.success)

    @property
    def best_success(self) -> float:
        """Success of ``best_single``; NaN where no model succeeded, since success relative to zero is undefined."""
        return float(self.success[:, self.best_single].mean()) or np.nan

    @property
    def dearest(self) -> int:
        """The model with the highest mean cost on the test split; its spend is what budgets are fractions of."""
        return dearest_model(self.cost)

    @property
    def cheapest(self) -> int:
        """The model with the lowest mean cost on the test split."""
        return int(np.argmin(self.cost.mean(axis=0)))

    def only(self, policies: Collection[str]) -> TestedPolicies:
        """The same rows, with the outcomes of some policies."""
        outcomes = {name: self.outcomes[name] for name in policies}
        return TestedPolicies(
            component=self.component, budget=self.budget, success=self.success, cost=self.cost, outcomes=outcomes
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class SeedResult(TestedPolicies):
    """Everything measured on the test split of one seed.

    Attributes:
        seed: of the split and of the training.
        rows: (n,) rows of the label table that were scored: test rows with a label for every model.
        tested: rows of the test split, scored or not.
        costs_recorded: share of ``cost`` that was recorded.
        probabilities: (n, K) estimates by step: raw, scaled, calibrated, decision.
        knn: neighbours, temperature and smoothing that the kNN control was tuned to.
        second_look: what the answers of each first model tell; empty where second looks were not evaluated.
        decision: the estimate that fed the allocation, and why, in words.
        cost_model: mode, source and held-out error of the token-aware cost model.
        timings: seconds by stage.
    """

    seed: int
    rows: np.ndarray
    tested: int
    costs_recorded: float
    probabilities: Mapping[str, np.ndarray]
    knn: Mapping[str, float | None]
    decision: str
    cost_model: Mapping[str, object]
    timings: Mapping[str, float]
    second_look: tuple[FirstModelQuality, ...] = ()


def best_model(success: np.ndarray) -> int:
    """The model with the highest mean of (n, K) successes, the first of equals."""
    return int(np.argmax(success.mean(axis=0)))


def dearest_model(cost: np.ndarray) -> int:
    """The model with the highest mean of (n, K) costs, the first of equals."""
    return int(np.argmax(cost.mean(axis=0)))


def curves_table(dataset: str, budget_fractions: np.ndarray, seeds: list[SeedResult]) -> pa.Table:
    """One row per seed, policy and feasible budget fraction.

    Columns: dataset, seed, policy, budget_fraction, success, relative_success, cost (USD), cost_fraction, and the
    budget (USD) with what the policy had predicted: predicted_success, predicted_cost, overspend_probability.
    """
    rows = []
    for result in seeds:
        best = result.best_success
        reference = result.cost[:, result.dearest].sum()
        for policy, outcome in result.outcomes.items():
            success, cost = outcome.success.mean(axis=1, dtype=np.float64), outcome.cost.sum(axis=1)
            for f in np.flatnonzero(np.isfinite(success)):
                rows.append(
                    {
                        "dataset": dataset,
                        "seed": result.seed,
                        "policy": policy,
                        "budget_fraction": float(budget_fractions[f]),
                        "success": float(success[f]),
                        "relative_success": float(success[f] / best),
                        "cost": float(cost[f]),
                        "cost_fraction": float(cost[f] / reference),
                        "budget": float(result.budget[f]),
                        "predicted_success": float(outcome.predicted_success[f]),
                        "predicted_cost": float(outcome.predicted_cost[f]),
                        "overspend_probability": float(outcome.overspend_probability[f]),
                    }
                )
    return pa.Table.from_pylist(rows)
