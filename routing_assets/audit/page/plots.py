"""The pictures of a batch's page, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from routing_assets.allocation import Frontier
from routing_assets.batches.frontier import Place
from routing_assets.foundation.vega import ACCENT, MUTED, SECOND, Spec, titled

Rows = Sequence[dict[str, Any]]

_POINTS = 80
_DECADES = 30
"""The axis of budgets is logarithmic where the greatest is this many times the least."""
_MARGIN = 0.15
SUCCESS = {"field": "expected_success", "type": "quantitative", "title": "expected success"}
USD = {"field": "cost_usd", "type": "quantitative", "title": "estimated cost of the batch, USD"}
TOOLTIP = [{**SUCCESS, "format": ".1%"}, {**USD, "title": "USD", "format": ".4~g"}]


def bars(traffic: Rows) -> Spec:
    """Instructions per model."""
    total, most = (of(row["instructions"] for row in traffic) for of in (sum, max))
    labelled = [{**row, "label": f"{row['instructions']:,} ({row['instructions'] / total:.0%})"} for row in traffic]
    spec = {
        "data": {"values": labelled},
        "width": "container",
        "height": 26 * len(labelled),
        "encoding": {
            "y": {"field": "model", "sort": None, "title": None, "axis": {"domain": False, "ticks": False}},
            "x": {
                "field": "instructions",
                "type": "quantitative",
                "scale": {"domainMax": 1.2 * most},
                "axis": {"tickCount": 6},
            },
            "tooltip": [{"field": "model"}, {"field": "instructions", "format": ","}, *TOOLTIP],
        },
        "layer": [
            {"mark": {"type": "bar", "color": ACCENT, "height": {"band": 0.7}}},
            {"mark": {"type": "text", "align": "left", "dx": 4}, "encoding": {"text": {"field": "label"}}},
        ],
    }
    return titled(
        spec, "Instructions per model", "; ".join(f"{row['model']}: {row['instructions']:,}" for row in traffic)
    )


def curve(place: Place, frontier: Frontier | None, budgets: Rows, alone: Rows) -> Spec | None:
    """Expected success by budget, with the batch and one model for all; None where that is not known.

    Args:
        budgets: multiples of the batch's budget; the axis goes to twice the last one.
        alone: everything with one model. One far below the curve would flatten it, and is not drawn.
    """
    if frontier is None or not budgets:
        return None
    least = float(frontier.budget[0])
    most = max(1.01 * least, min(1.05 * float(frontier.budget[-1]), 2 * budgets[-1]["budget_usd"]))
    log = 0 < _DECADES * least < most
    best = frontier.at(np.geomspace(least, most, _POINTS) if log else np.linspace(least, most, _POINTS))
    low, high = best.upper_bound[[0, -1]].tolist()
    margin = _MARGIN * (high - low)
    x = {**USD, "scale": {"type": "log" if log else "linear", "domain": [least, most]}, "axis": {"tickCount": 8}}
    y = {
        **SUCCESS,
        "scale": {"domain": [max(0, low - margin), min(1, high + margin)]},
        "axis": {"format": ".0%" if high - low > 0.03 else ".1%"},
    }
    points = [
        dict(zip(("cost_usd", "expected_success"), point, strict=True))
        for point in zip(*map(np.ndarray.tolist, (best.budget, best.upper_bound)), strict=True)
    ]
    drawn = [row for row in alone if row["cost_usd"] <= most and row["expected_success"] >= low - margin]
    here = {"model": "this batch", "cost_usd": place.cost_usd, "expected_success": place.expected_success}
    spec = {
        "width": "container",
        "height": 300,
        "encoding": {"x": x, "y": y},
        "layer": [
            _band(0.9 * place.budget, min(most, 1.1 * place.budget)),
            {"data": {"values": points}, "mark": {"type": "line", "color": ACCENT, "strokeWidth": 2.5}},
            _nearest(points),
            *_named(drawn, MUTED, "diamond", {"align": "left", "dx": 7, "dy": 9}),
            *_named([here], SECOND, "circle", {"align": "right", "dx": -9, "dy": -9, "fontWeight": "bold"}),
        ],
    }
    said = "; ".join(f"{row['budget_usd']:.4g} USD: {row['expected_success']:.1%}" for row in budgets)
    return titled(spec, "Best expected success by budget", said)


def _band(low: float, high: float) -> Spec:
    """The budget, 10 % more and 10 % less."""
    return {
        "data": {"values": [{"cost_usd": low, "high": high}]},
        "mark": {"type": "rect", "color": SECOND, "opacity": 0.12, "clip": True},
        "encoding": {"x2": {"field": "high"}, "y": None},
    }


def _nearest(points: Rows) -> Spec:
    """The point of the curve that the pointer is near, with its numbers."""
    select = {"type": "point", "nearest": True, "on": "pointerover", "clear": "pointerout"}
    return {
        "data": {"values": points},
        "params": [{"name": "nearest", "select": select}],
        "mark": {"type": "circle", "color": ACCENT, "size": 70},
        "encoding": {
            "opacity": {"condition": {"param": "nearest", "empty": False, "value": 1}, "value": 0},
            "tooltip": TOOLTIP,
        },
    }


def _named(rows: Rows, colour: str, shape: str, place: dict[str, Any]) -> list[Spec]:
    """Points with their names; a name stands only where nothing cheaper is better, so that names keep apart."""
    best = [row for row in rows if not any(_beats(other, row) for other in rows)]
    mark = {"type": "point", "shape": shape, "color": colour, "filled": True, "opacity": 1, "size": 70, "clip": True}
    return [
        {"data": {"values": rows}, "mark": mark, "encoding": {"tooltip": [{"field": "model"}, *TOOLTIP]}},
        {
            "data": {"values": best},
            "mark": {"type": "text", "color": colour, **place},
            "encoding": {"text": {"field": "model"}},
        },
    ]


def _beats(other: dict[str, Any], row: dict[str, Any]) -> bool:
    return other["cost_usd"] < row["cost_usd"] and other["expected_success"] >= row["expected_success"]
