"""The pictures of an evaluation's page, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from routing_assets.evaluation.curve_view import MIXTURE, ORACLE, CurveView
from routing_assets.evaluation.evaluation import Evaluation
from routing_assets.evaluation.figures import reliability_points
from routing_assets.evaluation.summary import Row
from routing_assets.foundation.vega import ACCENT, INK, MUTED, SECOND, Spec, titled
from routing_assets.prediction.calibration.reliability_plot import reliability_plot

X = {"field": "budget_fraction", "type": "quantitative", "title": "budget, share of the dearest model's spend"}
Y = {"field": "relative_success", "type": "quantitative", "title": "success, relative to the best single model"}


def budget_curve(view: CurveView, here: Row | None) -> Spec:
    """Success by budget: the policy that routes, what needs no predictions and what knows the answers; others grey."""
    judged, curves = view.judged, view.curves
    lines = {judged: (ACCENT, "MIP", 3), MIXTURE: (INK, "fixed mixture", 2), ORACLE: (SECOND, "oracle", 1.5)}
    lines = {name: line for name, line in lines.items() if name in curves}
    x = {**X, "scale": {"type": "log" if view.log else "linear"}, "axis": {"format": ".0%", "tickCount": 8}}
    y = {
        **Y,
        "scale": {"domain": [view.low, view.high], "zero": False},
        "axis": {"format": f".{view.decimals}%"},
    }
    grey = [_line(name, curves[name], MUTED, 1, 0.35) for name in curves if name not in lines]
    main = [_line(label, curves[name], colour, width, 1) for name, (colour, label, width) in lines.items()]
    labels = [
        _label(view.middle(name), label, colour, above=name != MIXTURE) for name, (colour, label, _) in lines.items()
    ]
    spec = {
        "width": "container",
        "height": 340,
        "encoding": {"x": x, "y": y},
        "layer": [*grey, _interval(curves[judged]), *main, *labels, *([] if here is None else _here(here))],
    }
    said = "; ".join(f"{cell['budget_fraction']:.0%}: {cell['relative_success']:.1%}" for cell in curves[judged])
    return titled(spec, "Success by budget", said)


def _values(curve: Sequence[Row], name: str) -> list[Row]:
    return [{"policy": name, **{of: cell[of] for of in (X["field"], Y["field"])}} for cell in curve]


def _line(name: str, curve: Sequence[Row], colour: str, width: float, opacity: float) -> Spec:
    return {
        "data": {"values": _values(curve, name)},
        "mark": {
            "type": "line",
            "color": colour,
            "strokeWidth": width,
            "opacity": opacity,
            "clip": True,
            "point": {"color": colour, "size": 25, "opacity": opacity},
        },
        "encoding": {
            "tooltip": [{"field": "policy"}, {**X, "title": "budget", "format": ".0%"}, _percent(Y, "success")]
        },
    }


def _interval(curve: Sequence[Row]) -> Spec:
    ends = (dict(zip(("low", "high"), cell["relative_success_interval"], strict=True)) for cell in curve)
    return {
        "data": {
            "values": [{X["field"]: cell["budget_fraction"], **end} for cell, end in zip(curve, ends, strict=True)]
        },
        "mark": {"type": "area", "color": ACCENT, "opacity": 0.13, "clip": True},
        "encoding": {"y": {**Y, "field": "low"}, "y2": {"field": "high"}},
    }


def _label(cell: Row, label: str, colour: str, *, above: bool) -> Spec:
    place = {"baseline": "bottom", "align": "right", "dx": -4, "dy": -4}
    if not above:
        place = {"baseline": "top", "align": "left", "dx": 4, "dy": 6}
    mark = {"type": "text", "color": colour, "fontWeight": "bold", **place}
    return {"data": {"values": _values([cell], label)}, "mark": mark, "encoding": {"text": {"field": "policy"}}}


def _here(here: Row) -> list[Spec]:
    point = [{X["field"]: here["budget_fraction"], Y["field"]: here["mip"], "label": "route here"}]
    return [
        {
            "data": {"values": point},
            "mark": {"type": "rule", "color": ACCENT, "strokeDash": [3, 3]},
            "encoding": {"y": None},
        },
        {"data": {"values": point}, "mark": {"type": "point", "color": ACCENT, "size": 160, "strokeWidth": 2}},
        {
            "data": {"values": point},
            "mark": {"type": "text", "align": "left", "dx": 10, "dy": 20, "color": ACCENT, "fontWeight": "bold"},
            "encoding": {"text": {"field": "label"}},
        },
    ]


def _percent(field: Row, title: str) -> dict[str, Any]:
    return {**field, "title": title, "format": ".1%"}


def calibration(evaluation: Evaluation) -> Spec | None:
    """Observed against predicted success of each model, test splits of all seeds together."""
    return reliability_plot(reliability_points(evaluation, "decision"), evaluation.models)
