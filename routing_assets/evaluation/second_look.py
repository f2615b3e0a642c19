"""Second looks on a test split: the plan, the second round and their controls, at each budget.

The controls say what the gain is due to. ``second_look_random`` escalates as many answers of the same models, but at
random; ``cascade_cheap_first`` asks the cheapest model first and escalates its least sure answers, with the threshold
and the second model that are best in hindsight; ``second_look_perfect`` plans with a check that knows whether the first
answer is right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from routing_assets.allocation import AllocationProblem, InfeasibleBudget, allocate
from routing_assets.allocation.second_look import FirstRound
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.splits import Split
from routing_assets.evaluation.policies import TestSplit
from routing_assets.evaluation.results import PolicyOutcome
from routing_assets.prediction.calibration.temperatures import scale
from routing_assets.prediction.router import Router, calibration_data, calibration_rows
from routing_assets.prediction.second_look import (
    CrossFit,
    FirstModelQuality,
    SecondLook,
    carry_out,
    fit_posterior,
    judge_first_models,
    second_look_of,
    telling,
)
from routing_assets.prediction.second_look.second_look import logits_of
from routing_assets.pricing.cost_model import CostModel

SECOND_LOOK = "mip_second_look"


@dataclass(frozen=True, eq=False)
class SecondLooks:
    """What is known about second looks on one test split of m instructions.

    Attributes:
        look: None where no answer tells anything.
        alone: (m, K) probabilities of the router.
        cost: (m, K) USD, estimates.
        signals: by name, (m, K) of the answers of the test instructions.
    """

    look: SecondLook | None
    alone: np.ndarray
    cost: np.ndarray
    signals: Mapping[str, np.ndarray]

    def after(self, first: np.ndarray) -> np.ndarray:
        """(m, K) probabilities once each instruction's first model has answered; without change where its answers are
        not read.
        """
        probability = self.alone.copy()
        if self.look is None:
            return probability
        for name in self.look.first:
            model = self.look.models.index(name)
            rows = np.flatnonzero(first == model)
            if rows.size:
                answers = {signal: values[rows, model] for signal, values in self.signals.items()}
                probability[rows] = self.look.after(name, self.alone[rows], answers)
        return probability


@dataclass(frozen=True, eq=False)
class SecondLookResult:
    """Outcomes by policy, and what the answers of each first model tell."""

    outcomes: Mapping[str, PolicyOutcome]
    quality: tuple[FirstModelQuality, ...]


def evaluate_second_looks(
    labels: LabelledInstructions,
    split: Split,
    router: Router,
    rows: np.ndarray,
    cost_model: CostModel,
    test: TestSplit,
    budgets: np.ndarray,
) -> SecondLookResult:
    """Two rounds and their controls at each budget (USD); ``rows`` (m,) are the instructions of ``test``.

    They learn from the rows that the router did not learn from, as in production.
    """
    cost = cost_model.estimate(labels.instruction, labels.task).mean
    logits, success, component = calibration_data(router.classifier, labels, split)
    if router.refit is not None:
        logits = router.refit.correct_unseen(logits, component)
    held_out = calibration_rows(router.classifier, split)
    scaled = logits_of(scale(logits, router.temperatures))
    estimates = test.estimates["scaled"], cost[rows]

    def fitted(signals: Mapping[str, np.ndarray]) -> CrossFit:
        return fit_posterior(
            labels.models, scaled, success, {name: values[held_out] for name, values in signals.items()}, component
        )

    def learnt(fit: CrossFit, first: Collection[str], signals: Mapping[str, np.ndarray]) -> SecondLooks:
        look = second_look_of(fit, first, scaled, cost[held_out], success)
        return SecondLooks(look, *estimates, {name: values[rows] for name, values in signals.items()})

    fit, right = fitted(labels.signals), perfect_check(labels)
    quality = judge_first_models(fit, success, component)
    looks, perfect = learnt(fit, telling(quality), labels.signals), learnt(fitted(right), labels.models, right)
    rounds = [_two_rounds(looks, test, float(budget)) for budget in budgets]
    knowing = [_two_rounds(perfect, test, float(budget)) for budget in budgets]
    outcomes = {
        SECOND_LOOK: _outcome(test, [None if each is None else each.outcome(test) for each in rounds]),
        "second_look_random": _outcome(test, [None if each is None else each.at_random(test) for each in rounds]),
        "cascade_cheap_first": cascade_cheap_first(looks, test, budgets),
        "second_look_perfect": _outcome(test, [None if each is None else each.outcome(test) for each in knowing]),
    }
    return SecondLookResult(outcomes, quality)


def perfect_check(labels: LabelledInstructions) -> dict[str, np.ndarray]:
    """The signal that tells whether an answer is right."""
    return {"right": labels.success.astype(np.float64)}


@dataclass(frozen=True, eq=False)
class _Rounds:
    plan: FirstRound
    second: np.ndarray
    expected: float

    def outcome(self, split: TestSplit) -> _Cell:
        """What the two rounds achieved and cost."""
        rows, first = np.arange(len(self.second)), self.plan.choice
        cost = split.cost[rows, first] + np.where(self.second != first, split.cost[rows, self.second], 0.0)
        return _Cell(
            split.success[rows, self.second], cost, self._traffic(split), self.expected, self.plan.planned_cost
        )

    def at_random(self, split: TestSplit) -> _Cell:
        """In expectation, if as many answers of each first model were escalated to the same models, but at random."""
        success, cost = np.empty(len(self.second)), np.empty(len(self.second))
        k = len(split.models)
        for model in np.unique(self.plan.choice):
            rows = np.flatnonzero(self.plan.choice == model)
            share = np.bincount(self.second[rows], minlength=k) / len(rows)
            success[rows] = split.success[rows] @ share
            again = np.where(np.arange(k) == model, 0.0, share)
            cost[rows] = split.cost[rows, model] + split.cost[rows] @ again
        return _Cell(success, cost, self._traffic(split), self.expected, self.plan.planned_cost)

    def _traffic(self, split: TestSplit) -> np.ndarray:
        return np.bincount(self.second, minlength=len(split.models)) / len(self.second)


@dataclass(frozen=True, eq=False)
class _Cell:
    success: np.ndarray
    cost: np.ndarray
    traffic: np.ndarray
    predicted_success: float
    predicted_cost: float


def _two_rounds(looks: SecondLooks, split: TestSplit, budget: float) -> _Rounds | None:
    """Both rounds, or one where no answer tells anything; None if even one call is too much."""
    try:
        if looks.look is None:
            answer = allocate(AllocationProblem(looks.alone, looks.cost, budget))
            plan = FirstRound(answer.choice, np.zeros(len(answer.choice), dtype=bool), answer)
            return _Rounds(plan, plan.choice, answer.expected_success)
        columns = looks.look.looks(looks.alone, looks.cost)
        plan, second = carry_out(columns, looks.after, split.cost, budget)
    except InfeasibleBudget:
        return None
    optimism = columns.lookahead.optimism(plan.allocation.shadow_price)
    return _Rounds(plan, second, plan.expected_success - optimism)


def cascade_cheap_first(looks: SecondLooks, split: TestSplit, budgets: np.ndarray) -> PolicyOutcome:
    """The cheapest model first; the answers least likely to be right go to one other model.

    Threshold and second model are those with the most successes in hindsight among all that keep the budget.
    """
    m, k = split.success.shape
    cheapest = int(split.cost.mean(axis=0).argmin())
    sure = looks.after(np.full(m, cheapest))[:, cheapest]
    order = np.argsort(sure, kind="stable")
    base = split.cost[:, cheapest]
    cells: list[_Cell | None] = []
    for budget in budgets:
        best: tuple[float, int, int] = (-np.inf, 0, cheapest)
        for second in range(k):
            spent = np.concatenate([[0.0], np.cumsum(split.cost[order, second])]) * (second != cheapest)
            gained = np.concatenate([[0.0], np.cumsum(split.success[order, second] - split.success[order, cheapest])])
            affordable = np.flatnonzero(base.sum() + spent <= budget)
            if affordable.size:
                count = int(affordable[np.argmax(gained[affordable])])
                best = max(best, (float(gained[count]), count, second))
        if best[0] == -np.inf:
            cells.append(None)
            continue
        _, count, second = best
        escalated = np.zeros(m, dtype=bool)
        escalated[order[:count]] = second != cheapest
        chosen = np.where(escalated, second, cheapest)
        cost = base + np.where(escalated, split.cost[:, second], 0.0)
        success = split.success[np.arange(m), chosen]
        cells.append(_Cell(success, cost, np.bincount(chosen, minlength=k) / m, float("nan"), float(cost.sum())))
    return _outcome(split, cells)


def _outcome(split: TestSplit, cells: list[_Cell | None]) -> PolicyOutcome:
    m, k = split.success.shape
    nothing = _Cell(np.full(m, np.nan), np.full(m, np.nan), np.full(k, np.nan), float("nan"), float("nan"))
    filled = [cell or nothing for cell in cells]
    return PolicyOutcome(
        success=np.array([cell.success for cell in filled], dtype=np.float32),
        cost=np.array([cell.cost for cell in filled]),
        traffic=np.array([cell.traffic for cell in filled]),
        predicted_success=np.array([cell.predicted_success for cell in filled]),
        predicted_cost=np.array([cell.predicted_cost for cell in filled]),
        overspend_probability=np.full(len(filled), np.nan),
    )
