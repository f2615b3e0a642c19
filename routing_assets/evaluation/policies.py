"""The policies and controls of an evaluation, each followed over all budgets on one test split."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from routing_assets.allocation import POLICIES, AllocationProblem, InfeasibleBudget, allocate
from routing_assets.evaluation.metrics import hull_mixture
from routing_assets.evaluation.results import PolicyOutcome, best_model, dearest_model
from routing_assets.pricing.held_out_spend import (
    HeldOutCalls,
    SpendRatio,
    calibrated_share,
    corresponding_budget,
    spend_ratio,
)
from routing_assets.pricing.spend import CostEstimate

TRUTH = "truth"
SAME_SPEND = "zero_router_same_spend"
"""The zero router that may spend what the judged policy really spent, where estimated costs let that exceed the budget.
"""


@dataclass(frozen=True)
class Policy:
    """An allocation rule together with the estimates it sees; ``safe`` holds back a margin for uncertain costs."""

    name: str
    rule: str
    success: str = "decision"
    cost: str = "mean"
    safe: bool = False


ROUTED = (
    *(Policy(name, name) for name in POLICIES),
    Policy("ndch_p_token_aware", "ndch_p", cost="token_aware"),
    Policy("mip_token_aware", "mip", cost="token_aware"),
    Policy("mip_safe", "mip", cost="token_aware", safe=True),
    Policy("mip_known_costs", "mip", cost=TRUTH),
    Policy("mip_raw", "mip", success="raw"),
    Policy("mip_scaled", "mip", success="scaled"),
    Policy("mip_bucket", "mip", success="calibrated"),
    Policy("knn_mip", "mip", success="knn"),
    Policy("task_rates_mip", "mip", success="task_rates"),
    Policy("oracle_predicted_costs", "mip", success=TRUTH, cost="token_aware"),
    Policy("oracle", "mip", success=TRUTH, cost=TRUTH),
)


def judged_policy(policies: Collection[str]) -> str:
    """The policy that the verdict is about: MIP as batches are routed, with token-aware costs where there are any."""
    return "mip_token_aware" if "mip_token_aware" in policies else "mip"


@dataclass(frozen=True, eq=False)
class TestSplit:
    """The scored instructions of one test split: the truth, and what the policies may know.

    Attributes:
        models: K names.
        success: (n, K) true labels.
        cost: (n, K) USD, true costs.
        estimates: (n, K) success estimates by name (decision, raw, scaled, calibrated, knn, task_rates).
        costs: cost estimates by name: mean, and token_aware where calls can be told apart.
        seed: for policies that draw at random.
        safe_probability: the probability with which ``mip_safe`` must stay within the budget.
        held_out: calls on which the margin of ``mip_safe`` is calibrated; the cost model was not fitted to them.
    """

    __test__ = False  # not a pytest class

    models: tuple[str, ...]
    success: np.ndarray
    cost: np.ndarray
    estimates: Mapping[str, np.ndarray]
    costs: Mapping[str, CostEstimate]
    seed: int = 0
    safe_probability: float = 0.95
    held_out: HeldOutCalls | None = None

    def success_estimate(self, name: str) -> np.ndarray:
        """(n, K) estimates called ``name``, the labels themselves for "truth"."""
        return self.success if name == TRUTH else self.estimates[name]

    def cost_estimate(self, name: str) -> CostEstimate:
        """Cost estimates called ``name``, without any error for "truth"."""
        return (
            CostEstimate(self.cost, np.zeros_like(self.cost), np.zeros(len(self.models)))
            if name == TRUTH
            else self.costs[name]
        )

    def offers(self, policy: Policy) -> bool:
        """Whether everything that the policy needs is known here, and makes a difference.

        Where all calls of a model cost the same, known costs give the same policy as mean costs.
        """
        if policy.name == "mip_known_costs" and "token_aware" not in self.costs:
            return False
        return policy.success in (TRUTH, *self.estimates) and policy.cost in (TRUTH, *self.costs)


def budgets(cost: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """(F,) USD: fractions of the spend of the model with the dearest mean cost on everything; ``cost`` is (n, K).

    A billionth is added, because allocation compares without rounding: a fraction that pays exactly for a model must
    not fail by the last bit of a float.
    """
    return np.asarray(fractions) * cost[:, dearest_model(cost)].sum() * (1 + 1e-9)


def follow_all(split: TestSplit, budgets: np.ndarray) -> dict[str, PolicyOutcome]:
    """Outcomes of every policy and control at each budget (USD)."""
    outcomes = {policy.name: follow(policy, split, budgets) for policy in ROUTED if split.offers(policy)}
    outcomes["random"] = mixed(split, outcomes["mip"].traffic)
    outcomes["zero_router"] = mixed(split, zero_router_traffic(split, budgets))
    spent = outcomes[judged_policy(outcomes)].cost.sum(axis=1)
    outcomes[SAME_SPEND] = mixed(split, zero_router_traffic(split, np.fmax(budgets, spent)))
    best_single = np.eye(len(split.models))[best_model(split.success)]
    outcomes["best_single"] = mixed(split, np.tile(best_single, (len(budgets), 1)))
    return outcomes


def follow(policy: Policy, split: TestSplit, budgets: np.ndarray) -> PolicyOutcome:
    """Allocate the test split at each budget on estimates, and look up what the choices really achieved and cost."""
    success, cost = split.success_estimate(policy.success), split.cost_estimate(policy.cost)
    n, k = split.success.shape
    outcome = _empty(len(budgets), n, k)
    rows = np.arange(n)
    for f, budget in enumerate(budgets):
        choice = _choose(policy, split, success, cost, float(budget))
        if choice is None:
            continue
        forecast = cost.forecast(choice)
        outcome.success[f] = split.success[rows, choice]
        outcome.cost[f] = split.cost[rows, choice]
        outcome.traffic[f] = np.bincount(choice, minlength=k) / n
        outcome.predicted_success[f] = success[rows, choice].mean(dtype=np.float64)
        outcome.predicted_cost[f] = forecast.mean
        outcome.overspend_probability[f] = forecast.overspend_probability(float(budget))
    return outcome


def mixed(split: TestSplit, traffic: np.ndarray) -> PolicyOutcome:
    """Outcome, in expectation, of giving every instruction to model k with probability ``traffic[f, k]`` (F, K).

    With the traffic of ``mip`` this is the control ``random``: the same models as often, but without regard to the
    instruction. It spends the same where all calls of a model cost the same.
    """
    success, cost = traffic @ split.success.T, traffic @ split.cost.T
    unknown = np.full(len(traffic), np.nan)
    return PolicyOutcome(success.astype(np.float32), cost, traffic, success.mean(axis=1), cost.sum(axis=1), unknown)


def zero_router_traffic(split: TestSplit, budgets: np.ndarray) -> np.ndarray:
    """(F, K) mixture of RouterBench's zero router, which knows each model's true mean cost and success."""
    mean_cost, mean_success = split.cost.mean(axis=0), split.success.mean(axis=0, dtype=np.float64)
    traffic = np.full((len(budgets), len(split.models)), np.nan)
    for f, budget in enumerate(budgets / len(split.success)):
        if budget >= mean_cost.min():
            traffic[f] = hull_mixture(mean_cost, mean_success, float(budget))
    return traffic


def _choose(
    policy: Policy, split: TestSplit, success: np.ndarray, cost: CostEstimate, budget: float
) -> np.ndarray | None:
    """(n,) chosen models, or None if the budget cannot pay for the batch.

    The threshold rule gets the target 1, which allocation lowers until the batch is affordable: a sweep over targets.
    """

    def choose(money: float) -> np.ndarray:
        problem = AllocationProblem(success, cost.mean, money, models=split.models)
        choice: np.ndarray = allocate(problem, policy.rule, target=1.0, seed=split.seed).choice
        return choice

    try:
        choice = choose(budget)
        return choose(budget * _safe_share(policy, split, cost, choice, budget)) if policy.safe else choice
    except InfeasibleBudget:
        return None


def _safe_share(policy: Policy, split: TestSplit, cost: CostEstimate, choice: np.ndarray, budget: float) -> float:
    """Share of a budget that is allocated to keep it with ``safe_probability``, as batches are routed."""
    held_out = split.held_out

    def ratio_at(share: float) -> SpendRatio | None:
        if held_out is None:
            return None
        money = corresponding_budget(budget * share, cost.mean, held_out.estimate.mean)
        problem = AllocationProblem(held_out.success, held_out.estimate.mean, money, models=split.models)
        decided = allocate(problem, policy.rule, target=1.0, seed=split.seed).choice
        return spend_ratio(held_out, decided, len(choice), split.seed)

    calibrated = calibrated_share(ratio_at, split.safe_probability)
    return cost.safe_share(choice, split.safe_probability) if calibrated is None else calibrated[0]


def _empty(n_budgets: int, n: int, k: int) -> PolicyOutcome:
    return PolicyOutcome(
        success=np.full((n_budgets, n), np.nan, dtype=np.float32),
        cost=np.full((n_budgets, n), np.nan),
        traffic=np.full((n_budgets, k), np.nan),
        predicted_success=np.full(n_budgets, np.nan),
        predicted_cost=np.full(n_budgets, np.nan),
        overspend_probability=np.full(n_budgets, np.nan),
    )
