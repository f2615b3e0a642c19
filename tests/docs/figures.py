"""The pictures of the pages, on simulated data: ``python -m tests.docs.figures`` writes them into docs/pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from routing_assets.allocation import AllocationProblem, allocate, frontier
from routing_assets.datasets.simulated import PUBLISHED, simulate_sample

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
TWIN, SIZE, SEED = "llm_uncertainty_bench", 2000, 0
STYLE = {"svg.hashsalt": "routing_assets", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 11}
BLUE, ORANGE, GREY = "#3f51b5", "#d9730d", "#767676"


def problem() -> AllocationProblem:
    """A batch of the twin whose probabilities are known, as if predicted perfectly from the text."""
    sample, models = simulate_sample(TWIN, SIZE, SEED), PUBLISHED[TWIN].models
    cost = np.array([model.price * 200 / 1e6 for model in models])  # calls of 200 tokens
    return AllocationProblem(sample.probability, cost, float(cost.max()) * SIZE, sample.labels.models)


def draw_frontier() -> Figure:
    """What routing buys: the models, the best fixed mixture of them, and the best assignment of each instruction."""
    figure, axes, _ = _frontier_axes()
    axes.set_title("2,000 simulated instructions, 16 models", loc="left", fontsize=11, color=GREY)
    return figure


def draw_shadow_price() -> Figure:
    """The shadow price: the slope of the frontier at the budget."""
    figure, axes, batch = _frontier_axes(models=False)
    budget = 0.3 * batch.budget
    answer = allocate(AllocationProblem(batch.success, batch.cost, budget, batch.models))
    slope, width = answer.shadow_price / SIZE, 0.09 * batch.budget
    axes.plot(
        [budget - width, budget + width],
        [answer.expected_success - slope * width, answer.expected_success + slope * width],
        color=ORANGE,
        lw=2,
    )
    axes.plot(budget, answer.expected_success, "o", color=ORANGE, ms=8)
    axes.annotate(
        f"budget {budget:.2f} USD: one more USD buys\n{answer.shadow_price:.0f} more expected right answers",
        (budget, answer.expected_success),
        xytext=(30, -90),
        textcoords="offset points",
        color=ORANGE,
    )
    return figure


def draw_calibration() -> Figure:
    """A temperature: predictions that are too sure of themselves, before and after."""
    random = np.random.default_rng(SEED)
    logit = random.normal(0.4, 1.0, 60_000)
    right = random.random(len(logit)) < 1 / (1 + np.exp(-logit))
    figure, axes = plt.subplots(figsize=(4.6, 4.2))
    axes.plot([0, 1], [0, 1], color=GREY, lw=1)
    for temperature, color, said in ((1.0, ORANGE, "raw"), (2.0, BLUE, "after temperature 2")):
        predicted = 1 / (1 + np.exp(-2 * logit / temperature))
        edges = np.quantile(predicted, np.linspace(0, 1, 11))
        bucket = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, 9)
        means = [(predicted[bucket == b].mean(), right[bucket == b].mean()) for b in range(10)]
        axes.plot(*zip(*means, strict=True), "o-", color=color, label=said)
    axes.set(xlabel="predicted probability of success", ylabel="observed share of successes", aspect="equal")
    axes.legend(frameon=False)
    _plain(axes)
    return figure


def _frontier_axes(*, models: bool = True) -> tuple[Figure, Axes, AllocationProblem]:
    batch = problem()
    budgets = np.linspace(0.085, 1, 80) * batch.budget
    best = frontier(batch, budgets).expected_success
    mixtures = [
        allocate(AllocationProblem(batch.success, batch.cost, float(usd), batch.models), policy="ndch").expected_success
        for usd in budgets
    ]
    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    if models:
        axes.plot(batch.cost * SIZE, batch.success.mean(axis=0), "o", color=GREY, ms=5)
        for model in ("Yi-34B", "Qwen-14B", "Yi-6B", "Qwen-1_8B"):
            k = batch.models.index(model)
            axes.annotate(
                model,
                (batch.cost[k] * SIZE, batch.success[:, k].mean()),
                xytext=(6, -13),
                textcoords="offset points",
                ha="left",
                color=GREY,
                fontsize=9,
            )
    axes.plot(budgets, mixtures, color=GREY, lw=2)
    axes.plot(budgets, best, color=BLUE, lw=2.5)
    axes.text(0.42, 0.86, "each instruction to its model (MIP)", color=BLUE)
    axes.text(0.52, 0.69, "fixed mixture of models", color=GREY)
    axes.set(xlabel="budget of the batch, USD", ylabel="expected share of right answers")
    axes.set_ylim(0.2 if models else 0.4, 0.92)
    _plain(axes)
    return figure, axes, batch


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.figure.tight_layout()


def write(folder: Path = PICTURES) -> None:
    """Draw every picture; the same code draws the same bytes."""
    matplotlib.use("Agg")
    drawings = {"frontier": draw_frontier, "shadow-price": draw_shadow_price, "calibration": draw_calibration}
    for name, draw in drawings.items():
        with plt.rc_context(STYLE):
            figure = draw()
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, facecolor="white", bbox_inches="tight")
            plt.close(figure)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else PICTURES)
