"""What the figures of a batch's page say in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from routing_assets.batches.route import SECOND_LOOK
from routing_assets.foundation.names import printable
from routing_assets.foundation.pages import percent, usd

LIMITS = {
    "min_share": "a model's least share of the instructions",
    "max_share": "a model's greatest share of the instructions",
    "capacity": "the number of instructions that a model takes",
    "token_capacity": "the number of tokens that a model takes",
    "mean_latency": "the mean latency",
    "max_changes": "the number of assignments that may change",
    "group_floor": "the success that a group must reach",
    "max_group_gap": "how far a group may fall behind the mean",
    "extra_budget": "a further budget",
}


def count(value: float) -> str:
    """A number of instructions or of expected successes, which may be a fraction."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def headline(summary: Mapping[str, Any]) -> str:
    """What was asked, what it costs and what it is expected to buy, in one sentence."""
    n, success = summary["instructions"], summary["expected_success"]
    limit = summary["budget_usd"]
    asked = "without a limit on money" if math.isinf(limit) else f"for at most {usd(limit)}"
    cost = usd(summary["cost_usd"])
    return (
        f"{n:,} instructions are to be answered {asked}: this plan is estimated to cost {cost}, and "
        f"about {n * success:,.0f} of the answers ({percent(success)}) are expected to be right."
    )


def of_one_call(summary: Mapping[str, Any]) -> float:
    """The expected success of the batch with one call per instruction, with which other budgets are compared."""
    planned = summary.get(SECOND_LOOK, {})
    return float(planned.get("expected_success_of_one_call", summary["expected_success"]))


def what_money_does(budgets: Sequence[Mapping[str, float]], summary: Mapping[str, Any]) -> str:
    """What a tenth more or less money does to the batch."""
    at = {row["budget"]: row for row in budgets}
    if math.isinf(summary["allocated_usd"]):
        return "The budget has no limit, so more money would buy nothing."
    if not at:
        return (
            "Limits tie the instructions together, so that each other budget is a problem of its own. Their solutions "
            "are in the metadata of the asset mip_allocation, under what_other_budgets_buy."
        )
    n, said = summary["instructions"], []
    for factor, change in ((1.1, "10 % more money"), (0.9, "10 % less money")):
        if factor not in at:
            said.append(f"{change} would not pay for the batch.")
            continue
        gain, budget = n * at[factor]["gain"], at[factor]["budget_usd"]
        done = f"gain about {count(gain)}" if gain >= 0 else f"lose about {count(-gain)}"
        said.append(f"{change} ({usd(budget)}) would {done} expected right answers.")
    alone = "With one call per instruction: " if of_one_call(summary) != summary["expected_success"] else ""
    return alone + " ".join(said)


def what_binds(summary: Mapping[str, Any]) -> list[str]:
    """The constraints that cost success, each in a sentence."""
    said, price = [], summary["shadow_price"]
    if "budget" in summary["binding"] or price > 0:
        tenth = summary["allocated_usd"] / 100
        worth = f" One more percent of the budget ({usd(tenth)}) would buy about {count(price * tenth)} right answers."
        said.append(
            f"The budget binds: at the margin one more expected right answer costs {usd(1 / price)}."
            + (worth if math.isfinite(tenth) else "")
            if price > 0
            else "The budget binds."
        )
    for name in summary["binding"]:
        if name != "budget":
            kind = name.partition("[")[0]
            limit = LIMITS.get(kind, "a limit of the policy")
            said.append(f"{printable(name)} binds: without {limit}, more answers would be right for the same money.")
    if not said and summary["status"] == "heuristic":
        return [f"The policy {summary['policy']} seeks no optimum, so it is not known what binds."]
    return said or ["Nothing binds: neither more money nor looser limits would buy more."]
