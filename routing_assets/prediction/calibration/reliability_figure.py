"""Reliability diagrams of several models, as a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "text.parse_math": False,  # a dollar sign in a name is not a formula
}
COLOURS = ("#0072B2", "#D55E00")
"""Colour-blind safe (Okabe & Ito)."""
_COLUMNS = 3


def reliability_png(steps: Mapping[str, Sequence[Mapping[str, Any]]], models: Sequence[str], title: str) -> bytes:
    """Observed against predicted success with Wilson intervals, a small diagram per model.

    Args:
        steps: by name of a line, at most two: rows of ``calibration_reliability.sql`` or of the calibration buckets.
        models: those to show, in this order.
    """
    columns = min(_COLUMNS, len(models))
    rows = -(-len(models) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.5 * columns, 2.5 * rows + 0.6), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
        for colour, (step, points) in zip(COLOURS, steps.items(), strict=False):
            for axis, model in zip(axes, models, strict=False):
                x, y, low, high = (
                    np.array([point[name] for point in points if point["model"] == model], dtype=float)
                    for name in ("mean_probability", "observed_rate", "wilson_lower", "wilson_upper")
                )
                bars = np.maximum([y - low, high - y], 0)  # at a rate of 0 or 1 rounding may leave -1e-16
                axis.errorbar(x, y, yerr=bars, fmt="o-", ms=3, lw=1, color=colour, label=step)
                axis.set_title(model, fontsize=8)
        for axis in axes[: len(models)]:
            axis.plot([0, 1], [0, 1], color="#999999", lw=0.8, zorder=0)
        for axis in axes[len(models) :]:
            axis.set_axis_off()
        for axis in axes[max(0, len(models) - columns) : len(models)]:
            axis.tick_params(labelbottom=True)
        if len(steps) > 1:
            axes[0].legend(frameon=False, fontsize=8)
        figure.supxlabel("predicted probability of success")
        figure.supylabel("observed success rate")
        figure.suptitle(title)
        image = BytesIO()
        FigureCanvasAgg(figure).print_figure(image, dpi=120, format="png")
    return image.getvalue()
