"""Figures of an evaluation, as a person would print them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from routing_assets.evaluation.curve_view import MIXTURE, ORACLE, CurveView, curve_view
from routing_assets.evaluation.evaluation import Evaluation
from routing_assets.evaluation.policies import SAME_SPEND, judged_policy
from routing_assets.evaluation.summary import Row, difference
from routing_assets.prediction.calibration.quality import reliability
from routing_assets.prediction.calibration.reliability_figure import STYLE, reliability_png

# Colour-blind safe (Okabe & Ito).
ROUTED, FIXED, TRUTH, OTHERS = "#0072B2", "black", "#B47B00", "#AAAAAA"
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of a logarithmic axis of budgets."""
LEAST_PER_BIN = 10  # labels; a reliability diagram leaves out points of fewer


def draw_curves(evaluation: Evaluation, path: Path) -> None:
    """Success against budget with the place to route, and MIP's gains over its controls with paired 95 % intervals."""
    view = curve_view(evaluation.policies, judged_policy(evaluation.policies))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 7.5), layout="constrained")
        upper, lower = figure.subplots(2, 1, height_ratios=[3, 2], sharex=True)
        if view is not None:
            _curves(upper, view, evaluation.verdict.here)
        _gains(lower, evaluation)
        if view is not None and view.log:
            lower.set_xscale("log")
            lower.set_xticks([tick for tick in TICKS if tick >= view.least])
            lower.xaxis.set_minor_locator(NullLocator())
        lower.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        kind = "SIMULATED data" if evaluation.simulated else "measured data"
        figure.suptitle(
            f"{evaluation.dataset}\n{kind} · {len(evaluation.models)} models · {len(evaluation.seeds)} seeds · "
            f"{np.mean([len(seed.rows) for seed in evaluation.seeds]):,.0f} test instructions each",
            fontweight="bold",
        )
        FigureCanvasAgg(figure).print_figure(path, dpi=120, format="png")


def draw_reliability(evaluation: Evaluation, path: Path) -> None:
    """Reliability diagram per model, raw and as used for the decision, test splits of all seeds together.

    Bars are Wilson intervals of the pooled rows. They are somewhat too narrow, because several seeds test the same row.
    """
    steps = {step: reliability_points(evaluation, step) for step in ("decision", "raw")}
    title = f"{evaluation.title}: reliability on test"
    path.write_bytes(reliability_png(steps, evaluation.models, title))


def reliability_points(evaluation: Evaluation, step: str) -> list[Row]:
    """Points of the diagrams of a step, test splits of all seeds together; those of very few labels are left out."""
    probability = np.concatenate([seed.probabilities[step] for seed in evaluation.seeds])
    success = np.concatenate([seed.success for seed in evaluation.seeds])
    points = reliability(probability, success, evaluation.models).to_pylist()
    return [point for point in points if point["count"] >= LEAST_PER_BIN]


def _curves(axis: Axes, view: CurveView, here: Row | None) -> None:
    lines: dict[str, tuple[str, dict[str, Any]]] = {
        view.judged: ("MIP", {"color": ROUTED, "lw": 2.6, "marker": "o", "ms": 3.5}),
        MIXTURE: ("fixed mixture", {"color": FIXED, "lw": 1.6, "ls": (0, (6, 2))}),
        ORACLE: ("oracle", {"color": TRUTH, "lw": 1.4}),
    }
    for policy in view.curves.keys() - lines.keys():
        axis.plot(*_points(view.curves[policy]), color=OTHERS, lw=0.9, alpha=0.7, zorder=1)
    for policy, (name, style) in lines.items():
        if policy not in view.curves:
            continue
        axis.plot(*_points(view.curves[policy]), **style)
        at, below = view.middle(policy), policy == MIXTURE
        right = below or at is view.curves[policy][0]
        axis.annotate(
            name,
            (at["budget_fraction"], at["relative_success"]),
            xytext=(5 if right else -5, -6 if below else 5),
            textcoords="offset points",
            ha="left" if right else "right",
            va="top" if below else "bottom",
            color=style["color"],
            fontweight="bold",
        )
    low, high = zip(*(cell["relative_success_interval"] for cell in view.curves[view.judged]), strict=True)
    axis.fill_between(_points(view.curves[view.judged])[0], low, high, color=ROUTED, alpha=0.13, lw=0)
    if here is not None:
        budget = here["budget_fraction"]
        axis.axvline(budget, color=ROUTED, lw=1, ls=":")
        axis.annotate(
            f"route here: {budget:.0%}",
            (budget, view.low),
            xytext=(-5, 6) if budget > 0.5 else (5, 6),
            textcoords="offset points",
            ha="right" if budget > 0.5 else "left",
            color=ROUTED,
            fontweight="bold",
        )
    axis.set(ylim=(view.low, view.high), ylabel="success, relative to the best single model")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=view.decimals))
    axis.set_title("Band: 95 % interval of MIP. Grey: other policies", fontsize=8, loc="left")


def _points(curve: Sequence[Row]) -> tuple[list[float], list[float]]:
    return [cell["budget_fraction"] for cell in curve], [cell["relative_success"] for cell in curve]


def _gains(axis: Axes, evaluation: Evaluation) -> None:
    judged = judged_policy(evaluation.mean_curves.policies)
    mixture = "over the best fixed mixture" + (", with token-aware costs" if judged != "mip" else "")
    gains = ((judged, SAME_SPEND, mixture, ROUTED), ("mip", "knn_mip", "over tuned kNN + MIP", "#777777"))
    for shift, (policy, other, label, colour) in zip((0.99, 1.01), gains, strict=True):
        rows = difference(evaluation.budget_fractions, evaluation.mean_curves, evaluation.bootstrap, policy, other)
        x = np.array([row["budget_fraction"] for row in rows]) * shift
        y = 100 * np.array([row["difference"] for row in rows])
        ends = 100 * np.array([row["interval"] for row in rows]).reshape(-1, 2).T
        axis.errorbar(x, y, yerr=np.abs(ends - y), fmt="o-", ms=4, lw=1.2, capsize=2, color=colour, label=label)
    axis.axhline(0.0, color="black", lw=0.8)
    axis.set(xlabel="budget, share of the dearest model's spend on everything", ylabel="gain of MIP, points")
    axis.legend(frameon=False, fontsize=8)
    axis.set_title("Paired 95 % bootstrap intervals over instructions and seeds", fontsize=8, loc="left")
