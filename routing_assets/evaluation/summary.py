"""The figures of an evaluation: means, paired intervals and areas, as JSON-able rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from routing_assets.evaluation.intervals import Curves, basic_interval, interval
from routing_assets.evaluation.metrics import GapRecovered, aiq, cost_to_reach, gap_recovered
from routing_assets.evaluation.policies import SAME_SPEND, judged_policy
from routing_assets.evaluation.results import SeedResult
from routing_assets.prediction.calibration.buckets import STEPS
from routing_assets.prediction.calibration.quality import calibration_metrics

Row = dict[str, Any]
COMPARED = (
    ("mip", "best_single"),
    ("mip", "zero_router"),
    ("mip", "random"),
    ("mip", "ndch"),
    ("mip", "ndch_p"),
    ("ndch_p", "ndch"),
    ("mip", "knn_mip"),
    ("mip", "task_rates_mip"),
    ("mip_token_aware", "mip"),
    ("mip_token_aware", "zero_router"),
    ("mip_known_costs", "mip_token_aware"),
    ("mip", "mip_raw"),
    ("mip", "mip_scaled"),
    ("mip", "mip_bucket"),
    ("mip_second_look", "mip_token_aware"),
    ("mip_second_look", "mip"),
    ("mip_second_look", "second_look_random"),
    ("mip_second_look", "cascade_cheap_first"),
    ("second_look_perfect", "mip_second_look"),
)


def policy_rows(
    fractions: np.ndarray, point: Curves, replicates: Curves, seeds: Sequence[SeedResult]
) -> dict[str, Row]:
    """Per policy: the curve with 95 % intervals, AIQ, cost to reach 95 % and 100 % of the best single model, spend."""
    return {
        policy: {
            "curve": _curve(policy, fractions, point, replicates, seeds),
            "aiq_paper": _aiq_row(policy, point, replicates, "paper"),
            "aiq_code": _aiq_row(policy, point, replicates, "code"),
            "budget_fraction_to_keep_95_percent": _cost_row(policy, fractions, point, replicates, 0.95),
            "budget_fraction_to_keep_100_percent": _cost_row(policy, fractions, point, replicates, 1.0),
        }
        for policy in point.policies
    }


def _curve(
    policy: str, fractions: np.ndarray, point: Curves, replicates: Curves, seeds: Sequence[SeedResult]
) -> list[Row]:
    p = point.of(policy)
    rows = []
    for f in np.flatnonzero(np.isfinite(point.success[0, p])):
        outcomes = [(seed.outcomes[policy], seed.budget[f]) for seed in seeds]
        feasible = [(outcome, budget) for outcome, budget in outcomes if np.isfinite(outcome.predicted_cost[f])]
        spent = np.array([outcome.cost[f].sum() / budget for outcome, budget in feasible])
        predicted = np.array([outcome.predicted_cost[f] / budget for outcome, budget in feasible])
        rows.append(
            {
                "budget_fraction": float(fractions[f]),
                "seeds": len(feasible),
                "success": float(point.success[0, p, f]),
                "relative_success": float(point.relative[0, p, f]),
                "relative_success_interval": interval(replicates.relative[:, p, f]),
                "cost_fraction": float(point.cost_fraction[0, p, f]),
                "predicted_spend_over_budget": float(predicted.mean()),
                "realised_spend_over_budget": float(spent.mean()),
                "seeds_over_budget": int((spent > 1 + 1e-6).sum()),
                "forecast_overspend_probability": _mean_or_none(
                    [outcome.overspend_probability[f] for outcome, _ in feasible]
                ),
            }
        )
    return rows


def difference_rows(fractions: np.ndarray, point: Curves, replicates: Curves) -> dict[str, Row]:
    """Per pair of policies: paired difference in relative success at each budget, and in AIQ."""
    judged = judged_policy(point.policies)
    pairs = [(a, b) for a, b in (*COMPARED, (judged, SAME_SPEND)) if a in point.policies and b in point.policies]
    return {
        f"{a} - {b}": {
            "by_budget": difference(fractions, point, replicates, a, b),
            "aiq_paper": aiq_difference(point, replicates, a, b),
        }
        for a, b in pairs
    }


def aiq_difference(point: Curves, replicates: Curves, a: str, b: str) -> Row:
    """AIQ (paper's normalisation) of ``a`` less that of ``b``, with its paired interval.

    It is the AIQ of the mean curves. At a budget that only some seeds can afford, these are means over those seeds.
    """
    estimate = _aiq_of(a, point, 0, "paper") - _aiq_of(b, point, 0, "paper")
    draws = _aiq_draws(a, replicates, "paper") - _aiq_draws(b, replicates, "paper")
    return {"estimate": estimate, "interval": basic_interval(estimate, draws)}


def difference(fractions: np.ndarray, point: Curves, replicates: Curves, a: str, b: str) -> list[Row]:
    """Relative success of ``a`` less that of ``b`` at each budget that both can afford."""
    estimate, drawn = point.difference(a, b)[0], replicates.difference(a, b)
    rows = []
    for f in np.flatnonzero(np.isfinite(estimate)):
        known = drawn[np.isfinite(drawn[:, f]), f]
        rows.append(
            {
                "budget_fraction": float(fractions[f]),
                "difference": float(estimate[f]),
                "interval": interval(known),
                "probability_above": float(np.mean(known > 0) + np.mean(known == 0) / 2),
            }
        )
    return rows


def model_rows(models: Sequence[str], fractions: np.ndarray, seeds: Sequence[SeedResult]) -> list[Row]:
    """Per model, means over seeds: success, cost, quality of its probabilities, share of the traffic by budget."""
    metrics = [_metrics(models, seed, "decision") for seed in seeds]
    rows = []
    for k, model in enumerate(models):
        traffic = np.array([seed.outcomes["mip"].traffic[:, k] for seed in seeds])
        rows.append(
            {
                "model": model,
                "success": float(np.mean([seed.success[:, k].mean(dtype=np.float64) for seed in seeds])),
                "mean_cost_usd": float(np.mean([seed.cost[:, k].mean() for seed in seeds])),
                **{name: _mean_or_none([table[name][k] for table in metrics]) for name in ("auc", "ece", "log_loss")},
                "mip_traffic": {f"{fraction:g}": _mean_or_none(traffic[:, f]) for f, fraction in enumerate(fractions)},
            }
        )
    return rows


def calibration_rows(models: Sequence[str], seeds: Sequence[SeedResult]) -> dict[str, Row]:
    """Per step of calibration: log-loss, Brier score and ECE on test, mean over models and seeds.

    ``ece_floor`` is what perfect calibration would show with as few rows.
    """
    names = ("log_loss", "brier", "ece", "ece_floor", "auc")
    rows: dict[str, Row] = {}
    for step in STEPS:
        tables = [_metrics(models, seed, step) for seed in seeds]
        rows[step] = {name: _mean_or_none([value for table in tables for value in table[name]]) for name in names}
    return rows


def two_model_rows(seeds: Sequence[SeedResult]) -> dict[str, Row]:
    """APGR and CPT per policy, of the mean curves over seeds; for tables of two models only.

    None where the stronger model is not the same in all splits: then there is no gap to recover.
    """
    rates = np.array([seed.success.mean(axis=0, dtype=np.float64) for seed in seeds])
    strong = seeds[0].best_single
    if not np.all(rates[:, strong] > rates[:, 1 - strong]):
        return dict.fromkeys(seeds[0].outcomes, asdict(GapRecovered(None, None, None)))
    weak_rate, strong_rate = rates[:, 1 - strong].mean(), rates[:, strong].mean()
    rows = {}
    for policy in seeds[0].outcomes:
        outcomes = [seed.outcomes[policy] for seed in seeds]
        success = np.mean([outcome.success.mean(axis=1, dtype=np.float64) for outcome in outcomes], axis=0)
        share = np.mean([outcome.traffic[:, strong] for outcome in outcomes], axis=0)
        known = np.isfinite(success)
        rows[policy] = asdict(gap_recovered(share[known], success[known], weak_rate, strong_rate))
    return rows


def plain(value: Any) -> Any:
    """Rows, lists and numbers as JSON has them: None for NaN and infinite numbers."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _aiq_row(policy: str, point: Curves, replicates: Curves, kind: str) -> Row:
    estimate = _aiq_of(policy, point, 0, kind)
    return {"estimate": estimate, "interval": basic_interval(estimate, _aiq_draws(policy, replicates, kind))}


def _aiq_draws(policy: str, replicates: Curves, kind: str) -> np.ndarray:
    return np.array([_aiq_of(policy, replicates, b, kind) for b in range(len(replicates.best))])


def _aiq_of(policy: str, curves: Curves, b: int, kind: str) -> float:
    """AIQ of one (replicate of a) mean curve; costs as fractions of the dearest model's spend.

    In the paper's normalisation every policy may also send everything to the cheapest model.
    """
    p = curves.of(policy)
    known = np.isfinite(curves.success[b, p])
    cost, success = curves.cost_fraction[b, p, known], curves.success[b, p, known]
    if kind == "code" and not known.any():
        return 0.0
    if kind == "code":
        return aiq(cost, success, curves.cheapest[b, 0], 1.0).code
    anchored = np.append(cost, curves.cheapest[b, 0]), np.append(success, curves.cheapest[b, 1])
    return aiq(*anchored, curves.cheapest[b, 0], 1.0).paper


def _cost_row(policy: str, fractions: np.ndarray, point: Curves, replicates: Curves, wanted: float) -> Row:
    """Least budget fraction that keeps ``wanted`` relative success; None where none does, and for ``best_single``."""
    if policy == "best_single":
        return {"estimate": None, "interval": [None, None]}
    drawn = [_cost_of(policy, fractions, replicates, b, wanted) for b in range(len(replicates.best))]
    reached = np.array([np.inf if value is None else value for value in drawn])
    low, high = np.quantile(reached, [0.025, 0.975], method="closest_observation")
    return {
        "estimate": _cost_of(policy, fractions, point, 0, wanted),
        "interval": [float(low) if np.isfinite(low) else None, float(high) if np.isfinite(high) else None],
    }


def _cost_of(policy: str, fractions: np.ndarray, curves: Curves, b: int, wanted: float) -> float | None:
    relative = curves.relative[b, curves.of(policy)]
    known = np.isfinite(relative)
    return cost_to_reach(fractions[known], relative[known], wanted)


def _metrics(models: Sequence[str], seed: SeedResult, step: str) -> dict[str, list[float | None]]:
    table: dict[str, list[float | None]] = calibration_metrics(
        seed.probabilities[step], seed.success, models, component=seed.component
    ).to_pydict()
    return table


def _mean_or_none(values: Sequence[float | None] | np.ndarray) -> float | None:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if known else None
