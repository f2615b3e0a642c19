"""Whether routing is worthwhile on a data set, in words, with the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing_assets.evaluation.intervals import Curves, interval
from routing_assets.evaluation.policies import SAME_SPEND, judged_policy
from routing_assets.evaluation.summary import Row, aiq_difference, difference
from routing_assets.foundation.ranges import ranges

WORTHWHILE = 0.005  # least gain in relative success that makes routing worthwhile
LEAST_UNRELATED = 30
"""With fewer unrelated test instructions over all splits, bootstrap intervals are too narrow to judge by."""
KEEPS = 0.95
"""A budget that keeps this share of the best model's success is enough; a cheaper one is not recommended before it."""
LABELS = {"mip": "MIP", "mip_token_aware": "MIP with token-aware costs"}


@dataclass(frozen=True)
class Verdict:
    """The decision and its grounds.

    Attributes:
        route: whether routing by predictions is worth it at some budget.
        budgets: budget fractions at which it is: MIP above the best fixed mixture of models for the same money, by
            more than half a point, with a 95 % interval that excludes zero.
        text: the verdict in one sentence.
        gains: per budget that can be judged: success of the best fixed mixture and of MIP, relative to the best single
            model; the difference with its 95 % interval; what MIP really spent of its budget.
        fine_print: the further evidence, in words.
    """

    route: bool
    budgets: tuple[float, ...]
    text: str
    gains: tuple[Row, ...] = ()
    fine_print: str = ""

    @property
    def here(self) -> Row | None:
        """The gain at the budget to route at; None: at none."""
        return place_to_route(self.gains, self.budgets)


def place_to_route(gains: Sequence[Row], budgets: Sequence[float]) -> Row | None:
    """The least budget at which routing pays and keeps enough success, or that of the largest gain; None: nowhere."""
    worth = [gain for gain in gains if gain["budget_fraction"] in budgets]
    enough = (gain for gain in worth if gain["mip"] >= KEEPS)
    return next(enough, max(worth, key=lambda gain: gain["gain"], default=None))


def give_verdict(
    name: str,
    fractions: np.ndarray,
    point: Curves,
    replicates: Curves,
    best_single: str,
    best_single_cost: float,
    policies: dict[str, Row],
    *,
    unrelated: int,
    costs_recorded: float,
) -> Verdict:
    """Compare MIP with what needs no predictions: the best fixed mixture of models, and the best single model.

    MIP is the policy that batches are routed by, with token-aware costs where there are any. Where MIP really spends
    more than its budget, the mixture may spend as much.

    Args:
        best_single: the best single model, in words.
        best_single_cost: its spend as a fraction of the dearest model's.
        unrelated: test instructions over all splits, related ones counted once.
        costs_recorded: share of the test calls whose true cost is known.
    """
    judged = judged_policy(point.policies)
    gains = difference(fractions, point, replicates, judged, SAME_SPEND)
    if not gains:
        return Verdict(False, (), f"Cannot be judged: {_nothing_to_compare(point)}.")
    rows = tuple(_gain_rows(gains, policies[SAME_SPEND], policies[judged]))
    worth = [gain for gain in gains if gain["difference"] >= WORTHWHILE and gain["interval"][0] > 0]
    if worth and unrelated < LEAST_UNRELATED:
        few = f"the test splits hold {unrelated} unrelated instructions, fewer than {LEAST_UNRELATED}"
        return Verdict(False, (), f"Cannot be judged: {few}.", rows)
    sentences = [
        f"{name}.",
        _compared(judged, gains, worth),
        _overall(point, replicates, judged),
        _too_small(fractions, point, judged),
        _savings(best_single, best_single_cost, judged, policies[judged]),
        _at_full_budget(point, replicates, judged),
        _against(fractions, point, replicates, judged, "knn_mip", "tuned kNN"),
        _against(fractions, point, replicates, judged, "task_rates_mip", "success rates per task, without any text,"),
        _spend(policies, judged),
        _unrecorded(costs_recorded),
    ]
    budgets = tuple(_fractions(worth))
    text = _decision(judged, gains, worth, unrelated)
    return Verdict(bool(worth), budgets, text, rows, "\n".join(filter(None, sentences)))


def _gain_rows(gains: list[Row], mixture: Row, mip: Row) -> list[Row]:
    """Rows of the table that is shown with the verdict, one per budget."""
    fixed, routed = ({cell["budget_fraction"]: cell for cell in row["curve"]} for row in (mixture, mip))
    return [
        {
            "budget_fraction": (at := gain["budget_fraction"]),
            "fixed_mixture": fixed[at]["relative_success"],
            "mip": routed[at]["relative_success"],
            "gain": gain["difference"],
            "interval": gain["interval"],
            "spent_of_budget": routed[at]["realised_spend_over_budget"],
        }
        for gain in gains
    ]


def _nothing_to_compare(point: Curves) -> str:
    if np.isnan(point.best).all():
        return "no model succeeded on any test instruction"
    return "no budget pays for MIP and for a fixed mixture of models in the same split"


def _decision(judged: str, gains: list[Row], worth: list[Row], unrelated: int) -> str:
    if not worth:
        excluded = unrelated >= LEAST_UNRELATED and max(gain["interval"][1] for gain in gains) < WORTHWHILE
        if excluded:
            return f"Do not route: {LABELS[judged]} gains less than half a point at every budget."
        return (
            f"Do not route: no budget shows a sure gain of half a point or more, and {unrelated} unrelated test "
            "instructions are too few to rule one out."
        )
    best = max(worth, key=lambda gain: gain["difference"])
    return (
        f"Route at budgets of {ranges(_fractions(worth), _fractions(gains))} of the dearest model's "
        f"spend: {LABELS[judged]} beats the best fixed mixture of models for the same money there, by up to "
        f"{100 * best['difference']:.1f} points (at {best['budget_fraction']:.0%})."
    )


def _compared(judged: str, gains: list[Row], worth: list[Row]) -> str:
    best = max(worth or gains, key=lambda gain: gain["difference"])
    text = (
        f"{LABELS[judged]} is compared with the best fixed mixture of models for the same money, picked in hindsight. "
        f"It pays where it gains half a point or more and the 95 % interval is above zero. The largest gain "
        f"{'of these ' if worth else ''}is {_points(best)}, at {best['budget_fraction']:.0%}."
    )
    if worth:
        sure = min(gain["probability_above"] for gain in worth)
        text += f" Each of these gains is above zero with a probability of {_probability(sure)}."
    grid = _fractions(gains)
    small = _fractions([gain for gain in gains if gain not in worth and gain["interval"][0] > 0])
    unsure = _fractions([gain for gain in gains if gain["interval"][0] <= 0])
    if small:
        text += f" At {ranges(small, grid)} the gain is sure, but less than half a point."
    if unsure:
        text += f" At {ranges(unsure, grid)} the interval does not exclude zero."
    return text


def _overall(point: Curves, replicates: Curves, judged: str) -> str:
    row = aiq_difference(point, replicates, judged, "zero_router")
    low, high = row["interval"]
    return f"Over all budgets (AIQ) it gains {row['estimate']:+.3f} [{low:+.3f}, {high:+.3f}]."


def _too_small(fractions: np.ndarray, point: Curves, judged: str) -> str:
    feasible = np.isfinite(point.relative[0, point.of(judged)])
    if feasible.all() or not feasible.any():
        return ""
    return f"A budget of {fractions[~feasible].max():.0%} or less cannot pay for the batch, whatever the models."


def _savings(best_single: str, cost: float, judged: str, mip: Row) -> str:
    parts = []
    for share in ("95", "100"):
        row = mip[f"budget_fraction_to_keep_{share}_percent"]
        if row["estimate"] is None:
            parts.append(f"never reaches {share} % of its success")
        else:
            low, high = row["interval"]
            upper = "not reached" if high is None else f"{high:.0%}"
            lower = "not reached" if low is None else f"{low:.0%}"
            parts.append(f"reaches {share} % of its success at {row['estimate']:.0%} [{lower}, {upper}]")
    return (
        f"Best single model, in hindsight: {best_single}, at {cost:.0%} of the dearest model's spend. "
        f"{LABELS[judged]} {' and '.join(parts)}."
    )


def _at_full_budget(point: Curves, replicates: Curves, judged: str) -> str:
    p = point.of(judged)
    low, high = interval(replicates.relative[:, p, -1])
    at_full = point.relative[0, p, -1]
    word = "above" if low > 1 else "below" if high < 1 else "level with"
    return f"At the largest budget it is {word} that model: {at_full:.3f} [{low:.3f}, {high:.3f}] of its success."


def _against(fractions: np.ndarray, point: Curves, replicates: Curves, judged: str, control: str, name: str) -> str:
    if control not in point.policies:
        return ""
    rows = difference(fractions, point, replicates, "mip", control)
    above = [row for row in rows if row["interval"][0] > 0]
    below = [row for row in rows if row["interval"][1] < 0]
    both = "" if judged == "mip" else ", both with mean prices,"
    return (
        f"Against {name} + MIP{both} it is clearly above at {len(above)} and clearly below at {len(below)} of "
        f"{len(rows)} budgets."
    )


def _spend(policies: dict[str, Row], judged: str) -> str:
    worst = {
        policy: max(policies[policy]["curve"], key=lambda row: row["realised_spend_over_budget"])
        for policy in ("mip", judged)
    }
    spent = {policy: row["realised_spend_over_budget"] for policy, row in worst.items()}
    if max(spent.values()) <= 1 + 1e-6:
        return ""
    at = worst["mip"]["budget_fraction"]
    text = (
        f"Costs are estimates: with mean prices MIP really spent up to {spent['mip']:.1%} of its budget (at {at:.0%})"
    )
    if judged != "mip":
        text += f", with token-aware prices up to {spent[judged]:.1%}"
    if "mip_safe" in policies:
        curve = policies["mip_safe"]["curve"]
        over, runs = sum(row["seeds_over_budget"] for row in curve), sum(row["seeds"] for row in curve)
        text += f"; with the safety margin {over} of {runs} batches overspent"
    return text + "."


def _unrecorded(costs_recorded: float) -> str:
    if costs_recorded == 1:
        return ""
    return (
        f"Of all calls that the test instructions could make, {1 - costs_recorded:.0%} have no recorded cost; they are "
        "taken to cost what was estimated."
    )


def _points(gain: Row) -> str:
    low, high = gain["interval"]
    return f"{100 * gain['difference']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"


def _probability(p: float) -> str:
    return "over 99.9 %" if p > 0.999 else f"at least {100 * p:.1f} %"


def _fractions(gains: list[Row]) -> list[float]:
    return [gain["budget_fraction"] for gain in gains]
