"""Second looks on a test split: the plan, the second round and their controls, at each budget.

The controls say what the gain is due to. ``mip_panel_refit`` is one call by the network that reads no answer;
``second_look_random`` escalates as many answers of the same models, but at random; ``cascade_cheap_first`` asks the
cheapest model first and escalates its least sure answers, with the threshold and the second model that are best in
hindsight; ``second_look_perfect`` plans with a check that knows whether the first answer is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from routing_assets.allocation import AllocationProblem, InfeasibleBudget, allocate
from routing_assets.allocation.second_look import FirstRound, decide_second_round, plan_first_round
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.splits import Split
from routing_assets.evaluation.policies import TestSplit
from routing_assets.evaluation.results import PolicyOutcome
from routing_assets.prediction.calibration.quality import loss_saved
from routing_assets.prediction.calibration.temperatures import sigmoid
from routing_assets.prediction.router import Router, calibration_data, calibration_rows
from routing_assets.prediction.second_look import (
    BatchLooks,
    FirstModelQuality,
    Lookahead,
    Posterior,
    fit_lookahead,
    fit_posterior,
    judge_first_models,
)
from routing_assets.prediction.second_look.quality import STANDARD_ERRORS
from routing_assets.pricing.cost_model import CostModel

SECOND_LOOK, REFIT = "mip_second_look", "mip_panel_refit"


@dataclass(frozen=True, eq=False)
class SecondLooks:
    """What is known about second looks on one test split of m instructions.

    Attributes:
        quality: of each first model, on rows that nothing learnt from.
        posterior: of every model after an answer.
        lookahead: the regressions of value and usage; None where no answer tells anything.
        logits: (m, K) scaled logits of the router.
        signals: by name, (m, K) of the answers of the test instructions.
        refit: (m, K) probabilities of the network that reads no answer.
        alone: (m, K) probabilities by which one call is planned: ``refit`` where it was better on held-out rows, else
            the router's.
    """

    quality: tuple[FirstModelQuality, ...]
    posterior: Posterior
    lookahead: Lookahead | None
    logits: np.ndarray
    signals: Mapping[str, np.ndarray]
    refit: np.ndarray
    alone: np.ndarray

    def after(self, first: np.ndarray) -> np.ndarray:
        """(m, K) probabilities once each instruction's first model has answered; without change where its answers are
        not read.
        """
        probability = self.alone.copy()
        models = self.posterior.models
        for name in self.posterior.first:
            rows = np.flatnonzero(first == models.index(name))
            if rows.size:
                answers = {signal: values[rows, models.index(name)] for signal, values in self.signals.items()}
                probability[rows] = self.posterior.after(name, self.logits[rows], answers)
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
    """Two rounds and their controls at each budget (USD); ``rows`` (m,) are the instructions of ``test``."""
    cost = cost_model.estimate(labels.instruction, labels.task).mean
    looks = fit_second_looks(labels, split, router, rows, cost, labels.signals)
    perfect = fit_second_looks(labels, split, router, rows, cost, perfect_check(labels))
    once = [_one_call(looks.refit, test, float(budget), cost[rows]) for budget in budgets]
    rounds = [_two_rounds(looks, test, float(budget), cost[rows]) for budget in budgets]
    knowing = [_two_rounds(perfect, test, float(budget), cost[rows]) for budget in budgets]
    outcomes = {
        REFIT: _outcome(test, [None if each is None else each.outcome(test) for each in once]),
        SECOND_LOOK: _outcome(test, [None if each is None else each.outcome(test) for each in rounds]),
        "second_look_random": _outcome(test, [None if each is None else each.at_random(test) for each in rounds]),
        "cascade_cheap_first": cascade_cheap_first(looks, test, budgets),
        "second_look_perfect": _outcome(test, [None if each is None else each.outcome(test) for each in knowing]),
    }
    return SecondLookResult(outcomes, looks.quality)


def fit_second_looks(
    labels: LabelledInstructions,
    split: Split,
    router: Router,
    rows: np.ndarray,
    cost: np.ndarray,
    signals: Mapping[str, np.ndarray],
) -> SecondLooks:
    """Learn from the rows that the router did not learn from; ``rows`` (m,) are the test rows.

    Args:
        cost: (N, K) USD, estimates for all rows of the label table.
        signals: by name, (N, K) of the answers.
    """
    logits, success, component = calibration_data(router.classifier, labels, split)
    if router.refit is not None:
        logits = router.refit.correct_unseen(logits, component)
    unseen = calibration_rows(router.classifier, split)
    scaled = np.asarray(logits / router.temperatures, dtype=np.float32)
    seen = {name: values[unseen] for name, values in signals.items()}
    fit = fit_posterior(labels.models, scaled, success, seen, component)
    quality = judge_first_models(fit, success, component)
    telling = [j for j, first in enumerate(quality) if first.tells]
    saved, error = loss_saved(fit.without_answer, sigmoid(scaled), success, component)
    refitted = saved > STANDARD_ERRORS * error
    alone = fit.without_answer if refitted else sigmoid(scaled)
    lookahead = fit_lookahead(scaled, fit.after[telling], cost[unseen], telling, alone, success) if telling else None
    test = labels.take(rows)
    tested = router.classifier.logits(test.instruction, None if test.task is None else list(test.task))
    tested = np.asarray(router.corrected(tested) / router.temperatures, dtype=np.float32)
    refit = fit.posterior.without_answer(tested)
    return SecondLooks(
        quality,
        fit.posterior,
        lookahead,
        tested,
        {name: values[rows] for name, values in signals.items()},
        refit,
        refit if refitted else sigmoid(tested),
    )


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


def _one_call(success: np.ndarray, split: TestSplit, budget: float, cost: np.ndarray) -> _Rounds | None:
    """One call per instruction; None if even that is too much."""
    try:
        answer = allocate(AllocationProblem(success, cost, budget, models=split.models))
    except InfeasibleBudget:
        return None
    plan = FirstRound(answer.choice, np.zeros(len(cost), dtype=bool), answer)
    return _Rounds(plan, plan.choice, answer.expected_success)


def _two_rounds(looks: SecondLooks, split: TestSplit, budget: float, cost: np.ndarray) -> _Rounds | None:
    """Plan, ask, look and decide with what the budget has left after the true cost; None if one call is too much."""
    if looks.lookahead is None:
        return _one_call(looks.alone, split, budget, cost)
    lookahead = looks.lookahead
    try:
        plan = plan_first_round(
            looks.alone,
            cost,
            budget,
            BatchLooks(lookahead, looks.alone, cost),
            lookahead.first,
            models=split.models,
        )
    except InfeasibleBudget:
        return None
    spent = split.cost[np.arange(len(cost)), plan.choice].sum()
    decided = decide_second_round(looks.after(plan.choice), cost, plan.choice, budget - spent, models=split.models)
    optimism = lookahead.optimism(plan.allocation.shadow_price)
    return _Rounds(plan, decided.choice, plan.expected_success - optimism)


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
