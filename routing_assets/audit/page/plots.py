"""The pictures of a batch's page: SVG whose colours are those of the page, so that they are light and dark with it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from routing_assets.allocation import Frontier
from routing_assets.batches.frontier import Place

INK, MUTED, ACCENT, SECOND = "#010203", "#010204", "#010205", "#010206"
"""Placeholders; the page's style sheet says what they look like."""
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", ACCENT: "var(--accent)", SECOND: "var(--second)"}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "page",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "grid.color": MUTED,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
_POINTS = 80
_LONGEST_NAME = 28
_COLUMNS = 4


def bars(traffic: Sequence[dict[str, Any]]) -> Markup:
    """Instructions per model."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        names, counts = [short(row["model"]) for row in traffic], [row["instructions"] for row in traffic]
        drawn = axes.barh(range(len(names)), counts, color=ACCENT, height=0.7)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.bar_label(drawn, [f"{n:,} ({n / sum(counts):.0%})" for n in counts], padding=4)
        axes.margins(x=0.15)
        axes.set_xlabel("instructions")
        axes.tick_params(axis="y", length=0)

    said = "; ".join(f"{row['model']}: {row['instructions']:,}" for row in traffic)
    return svg(draw, (7.4, 0.9 + 0.32 * len(traffic)), "Instructions per model", said)


def curve(place: Place, frontier: Frontier | None, budgets: Sequence[dict[str, float]]) -> Markup:
    """Expected success by budget, with the batch and one model for all; nothing where that is not known."""
    if frontier is None or not budgets:
        return Markup("")

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        furthest = max(frontier.budget[0], min(1.05 * frontier.budget[-1], 2 * budgets[-1]["budget_usd"]))
        best = frontier.at(np.linspace(frontier.budget[0], furthest, _POINTS))
        axes.plot(best.budget, best.upper_bound, color=ACCENT, lw=2, label="best possible")
        axes.axvspan(0.9 * place.budget, 1.1 * place.budget, color=SECOND, alpha=0.12, lw=0, label="budget ± 10 %")
        axes.axvline(place.budget, color=SECOND, lw=1, ls=":")
        axes.plot(place.cost_usd, place.expected_success, "o", color=SECOND, label="this batch")
        axes.plot(place.cost_of_models, place.success_of_models, "x", color=MUTED, label="one model for all")
        axes.set(xlabel="estimated cost of the batch, USD", ylabel="expected success")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(True)
        axes.legend(loc="lower right")

    said = "; ".join(f"{row['budget_usd']:.4g} USD: {row['expected_success']:.1%}" for row in budgets)
    return svg(draw, (7.4, 4.0), "Expected success by budget", said)


def reliability(buckets: Sequence[dict[str, Any]], models: Sequence[str]) -> Markup:
    """Observed against predicted success in each calibration bucket, for the models that got instructions."""
    known = {model: list(rows) for model, rows in groupby(buckets, key=lambda row: row["model"])}
    shown = [model for model in models if model in known]
    if not shown:
        return Markup("")
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)

    def draw(figure: Figure) -> None:
        axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
        for axis, model in zip(axes, shown, strict=False):
            _reliability(axis, known[model])
            axis.set_title(short(model), fontsize=9)
            axis.tick_params(labelbottom=True)
        for unused in axes[len(shown) :]:
            unused.set_axis_off()
        figure.supxlabel("predicted success", fontsize=10)
        figure.supylabel("observed success", fontsize=10)

    said = f"Observed against predicted success in the calibration buckets of {', '.join(shown)}."
    return svg(draw, (7.4, 0.5 + 1.8 * rows), "Reliability of the predictions", said)


def _reliability(axis: Axes, rows: Sequence[dict[str, Any]]) -> None:
    x, y, low, high = (
        np.array([row[name] for row in rows], np.float64)
        for name in ("mean_probability", "observed_rate", "wilson_lower", "wilson_upper")
    )
    axis.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    error = np.maximum([y - low, high - y], 0)  # at a rate of 0 or 1 rounding may leave -1e-16
    axis.errorbar(x, y, yerr=error, fmt="o", ms=3.5, lw=1, color=ACCENT)
    axis.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))


def short(name: str) -> str:
    """A name that fits beside a picture."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def svg(draw: Callable[[Figure], None], size: tuple[float, float], title: str, description: str) -> Markup:
    """A figure as inline SVG with a title and a description for those who do not see it."""
    with mpl.rc_context(STYLE):
        figure, buffer = Figure(figsize=size, layout="constrained"), io.StringIO()
        draw(figure)
        FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])  # all figures have the same names
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    of = re.sub(r"\W+", "-", title.lower())
    named = Markup('<title id="{0}-title">{1}</title><desc id="{0}-desc">{2}</desc>').format(of, title, description)
    start, end = text.index("<svg"), text.index(">", text.index("<svg"))
    box = re.search(r'viewBox="[^"]*"', text[start:end])
    opened = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0] if box else ""} '
        f'role="img" aria-labelledby="{of}-title {of}-desc">'
    )
    return Markup(opened + str(named) + text[end + 1 :])  # noqa: S704  matplotlib and Markup.format escape all names
