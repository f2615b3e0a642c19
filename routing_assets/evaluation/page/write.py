"""The page of an evaluation: the verdict first, then the table, the pictures and the fine print."""

from __future__ import annotations

from pathlib import Path

from routing_assets.evaluation.curve_view import curve_view
from routing_assets.evaluation.evaluation import Evaluation
from routing_assets.evaluation.page.headline import headline
from routing_assets.evaluation.page.plots import budget_curve, calibration
from routing_assets.evaluation.policies import judged_policy
from routing_assets.evaluation.terminal import gain_rows, second_look_rows
from routing_assets.foundation import pages

TEMPLATE = Path(__file__).with_name("evaluation.html.j2")


def as_html(evaluation: Evaluation, script: str) -> str:
    """The page, whose pictures this script draws. Whatever comes from outside is escaped."""
    summary = evaluation.summary
    here = evaluation.verdict.here
    view = curve_view(summary["policies"], judged_policy(evaluation.mean_curves.policies))
    return pages.page(
        TEMPLATE,
        script,
        {
            name: summary[name]
            for name in ("dataset", "simulated", "verdict", "second_look", "per_model", "calibration")
        },
        evaluation=evaluation,
        summary=summary,
        headline=headline(summary["verdict"], here),
        policies={
            policy: {cell["budget_fraction"]: cell["relative_success"] for cell in row["curve"]}
            for policy, row in summary["policies"].items()
        },
        gains=gain_rows(summary["verdict"]["gains"]),
        here=None if here is None else f"{here['budget_fraction']:.0%}",
        curve=None if view is None else budget_curve(view, here),
        calibration=calibration(evaluation),
        second_looks=second_look_rows(summary["second_look"]["gains"]) if summary["second_look"] else [],
    )
