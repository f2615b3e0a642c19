"""The verdict of an evaluation in a sentence for those who decide about money."""

from __future__ import annotations

from typing import Any

from routing_assets.evaluation.summary import Row


def headline(verdict: dict[str, Any], here: Row | None) -> str:
    """What to do, what it keeps and costs, and where not to do it."""
    if here is None:
        return str(verdict["text"])
    least, most = min(verdict["budgets"]), max(verdict["budgets"])
    grid = [gain["budget_fraction"] for gain in verdict["gains"]]
    limits = [f"below {least:.0%}" * (grid[0] < least), f"above {most:.0%}" * (grid[-1] > most)]
    outside = " or ".join(filter(None, limits))
    return (
        f"Route: {here['budget_fraction']:.0%} of what the dearest model costs for all instructions keeps "
        f"{here['mip']:.0%} of the success of the best single model, where mixing models without looking at the "
        f"instructions keeps {here['fixed_mixture']:.0%}."
        + (f" {outside[0].upper()}{outside[1:]}, mixing is not clearly worse." if outside else "")
    )
