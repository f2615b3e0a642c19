"""The reliability diagrams of several models, as a Vega-Lite specification."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from routing_assets.foundation.vega import ACCENT, MUTED, Spec, titled

_COLUMNS = 4


def reliability_plot(buckets: Sequence[dict[str, Any]], models: Sequence[str]) -> Spec | None:
    """Observed against predicted success with 95 % intervals, a small picture per model; None where nothing is known.

    Args:
        buckets: rows of ``calibration_reliability.sql`` or of the calibration buckets.
        models: those to show, in this order.
    """
    known = {row["model"] for row in buckets}
    shown = [model for model in models if model in known]
    if not shown:
        return None
    x, y, low, high = ("mean_probability", "observed_rate", "wilson_lower", "wilson_upper")
    values = [
        {name: row[name] for name in ("model", "count", x, y, low, high)} for row in buckets if row["model"] in shown
    ]
    least = math.floor(10 * min(row[name] for row in values for name in (x, low))) / 10
    ticks = [least, (least + 1) / 2, 1]
    scale = {"type": "quantitative", "scale": {"domain": [least, 1]}, "axis": {"values": ticks, "format": ".0%"}}
    tooltip = [
        {"field": x, "format": ".3f", "title": "predicted"},
        {"field": y, "format": ".3f", "title": "observed"},
        {"field": low, "format": ".3f", "title": "95 % from"},
        {"field": high, "format": ".3f", "title": "95 % to"},
        {"field": "count", "format": ",", "title": "labels"},
    ]
    diagonal = {
        "data": {"values": [{x: least, y: least}, {x: 1, y: 1}]},
        "mark": {"type": "line", "color": MUTED, "strokeDash": [2, 3], "strokeWidth": 1},
    }
    spec = {
        "data": {"values": values},
        "columns": min(_COLUMNS, len(shown)),
        "facet": {"field": "model", "sort": shown, "title": None},
        "spec": {
            "width": 185,
            "height": 130,
            "encoding": {
                "x": {"field": x, **scale, "title": "predicted"},
                "y": {"field": y, **scale, "title": "observed"},
            },
            "layer": [
                diagonal,
                {
                    "mark": {"type": "rule", "color": ACCENT},
                    "encoding": {"y": {"field": low, "type": "quantitative"}, "y2": {"field": high}},
                },
                {
                    "mark": {"type": "circle", "color": ACCENT, "size": 36, "opacity": 1},
                    "encoding": {"tooltip": tooltip},
                },
            ],
        },
    }
    said = f"Observed against predicted success of {', '.join(shown)}."
    return titled(spec, "Reliability of the predictions", said)
