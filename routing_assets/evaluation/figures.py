"""Figures of an evaluation, as a person would print them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from routing_assets.allocation import POLICIES
from routing_assets.evaluation.evaluation import Evaluation
from routing_assets.evaluation.intervals import mean_curves
from routing_assets.evaluation.policies import SAME_SPEND, judged_policy
from routing_assets.evaluation.summary import difference
from routing_assets.prediction.calibration.quality import reliability

# Colour-blind safe (Okabe & Ito): the policy under test stands out, controls are grey.
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "oracle": ("oracle (true labels)", {"color": "#E69F00", "lw": 1.4, "ls": "-"}),
    "mip": ("MIP", {"color": "#0072B2", "lw": 2.4}),
    "mip_token_aware": ("MIP, token-aware costs", {"color": "#56B4E9", "lw": 1.6, "ls": "--"}),
    "ndch_p": ("NDCH(P)", {"color": "#009E73", "lw": 1.6}),
    "ndch": ("NDCH", {"color": "#CC79A7", "lw": 1.3}),
    "threshold": ("threshold", {"color": "#D55E00", "lw": 1.1, "ls": "-."}),
    "knn_mip": ("tuned kNN + MIP", {"color": "#444444", "lw": 1.4, "ls": ":"}),
    "random": ("random, same traffic as MIP", {"color": "#999999", "lw": 1.2, "ls": ":"}),
}
for _name in POLICIES:  # policies without a style above
    LINES.setdefault(_name, (_name, {"color": "#777777", "lw": 1.1}))
BANDS = ("oracle", "mip", "ndch_p", "ndch")
LEAST_PER_BIN = 10  # labels; a reliability diagram leaves out points of fewer
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "text.parse_math": False,  # a dollar sign in a name is not a formula
}


def draw_curves(evaluation: Evaluation, path: Path) -> None:
    """Success against budget with bands over seeds, and MIP's gains over its controls with paired 95 % intervals."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.5, 5.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        _curves(left, evaluation)
        _gains(right, evaluation)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
        kind = "SIMULATED data" if evaluation.simulated else "measured data"
        figure.suptitle(
            f"{evaluation.dataset} · {kind} · {len(evaluation.models)} models · {len(evaluation.seeds)} seeds · "
            f"{np.mean([len(seed.rows) for seed in evaluation.seeds]):,.0f} test instructions each",
            fontweight="bold",
        )
        FigureCanvasAgg(figure).print_figure(path, dpi=160, format="png")


def draw_reliability(evaluation: Evaluation, path: Path) -> None:
    """Reliability diagram per model, raw and as used for the decision, test splits of all seeds together.

    Bars are Wilson intervals of the pooled rows. They are somewhat too narrow, because several seeds test the same row.
    """
    models = evaluation.models
    columns = min(4, len(models))
    rows = -(-len(models) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.6 * columns, 2.6 * rows + 0.6), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
        for step, colour in (("raw", "#D55E00"), ("decision", "#0072B2")):
            probability = np.concatenate([seed.probabilities[step] for seed in evaluation.seeds])
            success = np.concatenate([seed.success for seed in evaluation.seeds])
            points = reliability(probability, success, models).to_pydict()
            for k, model in enumerate(models):
                mine = (np.array(points["model_index"]) == k) & (np.array(points["count"]) >= LEAST_PER_BIN)
                x, y, low, high = (
                    np.array(points[name])[mine]
                    for name in ("mean_probability", "observed_rate", "wilson_lower", "wilson_upper")
                )
                bars = np.maximum([y - low, high - y], 0)  # at a rate of 0 or 1 rounding may leave -1e-16
                axes[k].errorbar(x, y, yerr=bars, fmt="o-", ms=3, lw=1, color=colour, label=step)
                axes[k].set_title(model, fontsize=8)
        for axis in axes[: len(models)]:
            axis.plot([0, 1], [0, 1], color="#999999", lw=0.8, zorder=0)
        for axis in axes[len(models) :]:
            axis.set_axis_off()
        for axis in axes[max(0, len(models) - columns) : len(models)]:
            axis.tick_params(labelbottom=True)
        axes[0].legend(frameon=False, fontsize=8)
        figure.supxlabel("predicted probability of success")
        figure.supylabel("observed success rate")
        figure.suptitle(f"{evaluation.title}: reliability on test")
        FigureCanvasAgg(figure).print_figure(path, dpi=130, format="png")


def _curves(axis: Axes, evaluation: Evaluation) -> None:
    fractions, curves = evaluation.budget_fractions, evaluation.mean_curves
    per_seed = np.stack([mean_curves([seed]).relative[0] for seed in evaluation.seeds])  # (S, P, F)
    for policy, (label, style) in LINES.items():
        if policy not in curves.policies:
            continue
        p = curves.of(policy)
        axis.plot(fractions, curves.relative[0, p], label=label, **style)
        if policy in BANDS:
            known = np.isfinite(per_seed[:, p]).all(axis=0)
            low, high = per_seed[:, p, known].min(axis=0), per_seed[:, p, known].max(axis=0)
            axis.fill_between(fractions[known], low, high, color=str(style["color"]), alpha=0.13, lw=0)
    hull = curves.relative[0, curves.of("zero_router")]
    axis.plot(fractions, hull, color="black", lw=1.2, ls=(0, (6, 2)), label="best fixed mixture (hull of the models)")
    axis.axhline(1.0, color="black", lw=0.8, zorder=0)
    _single_models(axis, evaluation, bottom=float(np.nanmin(curves.relative[0, curves.of("ndch")], initial=1.0)) - 0.12)
    axis.set(xlim=(0, 1.02), xlabel="budget, share of the dearest model's spend on everything")
    axis.set_ylabel("success, relative to the best single model")
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.set_title("Bands: least and greatest of the seeds. Dots: single models", fontsize=8, loc="left")


def _single_models(axis: Axes, evaluation: Evaluation, bottom: float) -> None:
    """A dot per model at its own cost and success, where it lies above ``bottom``; the best one is named."""
    cost = np.mean([s.cost.sum(axis=0) / s.cost[:, s.dearest].sum() for s in evaluation.seeds], axis=0)
    relative = [s.success.mean(axis=0) / s.best_success for s in evaluation.seeds if s.best_success > 0]
    axis.set_ylim(bottom=bottom)
    if not relative:
        return
    success = np.mean(relative, axis=0)
    shown = success > bottom
    axis.plot(cost[shown], success[shown], "o", ms=4, color="black", alpha=0.55, zorder=3)
    label = f"best single model: {evaluation.best_single}"
    axis.text(0.01, 1.004, label, transform=axis.get_yaxis_transform(), ha="left", va="bottom", fontsize=8)


def _gains(axis: Axes, evaluation: Evaluation) -> None:
    judged = judged_policy(evaluation.mean_curves.policies)
    mixture = "over the best fixed mixture" + (", with token-aware costs" if judged != "mip" else "")
    gains = ((judged, SAME_SPEND, mixture, "#0072B2"), ("mip", "knn_mip", "over tuned kNN + MIP", "#444444"))
    for shift, (policy, other, label, colour) in zip((-0.006, 0.006), gains, strict=True):
        rows = difference(evaluation.budget_fractions, evaluation.mean_curves, evaluation.bootstrap, policy, other)
        x = np.array([row["budget_fraction"] for row in rows]) + shift
        y = 100 * np.array([row["difference"] for row in rows])
        ends = 100 * np.array([row["interval"] for row in rows]).reshape(-1, 2).T
        axis.errorbar(x, y, yerr=np.abs(ends - y), fmt="o-", ms=4, lw=1.2, capsize=2, color=colour, label=label)
    axis.axhline(0.0, color="black", lw=0.8)
    axis.set(xlim=(0, 1.02), xlabel="budget", ylabel="gain of MIP, points of relative success")
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.legend(frameon=False, fontsize=8)
    axis.set_title("Paired 95 % bootstrap intervals over instructions and seeds", fontsize=8, loc="left")
