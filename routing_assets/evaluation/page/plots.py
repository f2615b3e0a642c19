"""The pictures of an evaluation's page, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from routing_assets.evaluation.evaluation import Evaluation
from routing_assets.evaluation.figures import LEAST_PER_BIN
from routing_assets.evaluation.summary import Row
from routing_assets.foundation.vega import ACCENT, INK, MUTED, SECOND, Spec, titled
from routing_assets.prediction.calibration.quality import reliability
from routing_assets.prediction.calibration.reliability_plot import reliability_plot

_DECADES = 30
_MARGIN = 0.15
MIXTURE, ORACLE = "zero_router", "oracle"
X = {"field": "budget_fraction", "type": "quantitative", "title": "budget, share of the dearest model's spend"}
Y = {"field": "relative_success", "type": "quantitative", "title": "success, relative to the best single model"}


def budget_curve(policies: Mapping[str, Row], judged: str, here: Row | None) -> Spec | None:
    """Success by budget: the policy that routes, what needs no predictions and what knows the answers; others grey.

    The oracle is drawn only as far as the axis of the others goes. None where no model succeeds, so that no success is
    relative to anything.
    """
    lines = {judged: (ACCENT, "MIP", 3), MIXTURE: (INK, "fixed mixture", 2), ORACLE: (SECOND, "oracle", 1.5)}
    curves = {name: _known(row["curve"]) for name, row in policies.items()}
    curves = {name: cells for name, cells in curves.items() if cells}
    if judged not in curves:
        return None
    compared = [cell for name in (judged, MIXTURE) for cell in curves.get(name, ())]
    values = [cell["relative_success"] for cell in compared] + [1.0]
    margin = _MARGIN * (max(values) - min(values))
    budgets = [cell["budget_fraction"] for cell in compared] + [1.0]
    log = max(budgets) > _DECADES * min(budgets)
    x = {**X, "scale": {"type": "log" if log else "linear"}, "axis": {"format": ".0%", "tickCount": 8}}
    y = {
        **Y,
        "scale": {"domain": [min(values) - margin, max(values) + margin], "zero": False},
        "axis": {"format": ".0%" if margin > 0.005 else ".1%"},
    }
    grey = [_line(name, curves[name], MUTED, 1, 0.35) for name in curves if name not in (*lines, "best_single")]
    main = [
        _line(label, curves[name], colour, width, 1) for name, (colour, label, width) in lines.items() if name in curves
    ]
    labels = [
        _label(curves[name], label, colour, max(values) + margin, above=name != MIXTURE)
        for name, (colour, label, _) in lines.items()
        if name in curves
    ]
    spec = {
        "width": "container",
        "height": 340,
        "encoding": {"x": x, "y": y},
        "layer": [*grey, _interval(curves[judged]), *main, *labels, *([] if here is None else _here(here))],
    }
    said = "; ".join(f"{cell['budget_fraction']:.0%}: {cell['relative_success']:.1%}" for cell in curves[judged])
    return titled(spec, "Success by budget", said)


def _known(curve: Sequence[Row]) -> list[Row]:
    return [cell for cell in curve if cell["relative_success"] is not None]


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


def _label(curve: Sequence[Row], label: str, colour: str, top: float, *, above: bool) -> Spec:
    """The name of a line, in the middle of what the axis shows of it."""
    shown = [cell for cell in curve if cell["relative_success"] <= top]
    middle = shown[len(shown) // 2 :][:1]
    place = {"baseline": "bottom", "align": "right", "dx": -4, "dy": -4}
    if not above:
        place = {"baseline": "top", "align": "left", "dx": 4, "dy": 6}
    mark = {"type": "text", "color": colour, "fontWeight": "bold", **place}
    return {"data": {"values": _values(middle, label)}, "mark": mark, "encoding": {"text": {"field": "policy"}}}


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
    probability = np.concatenate([seed.probabilities["decision"] for seed in evaluation.seeds])
    success = np.concatenate([seed.success for seed in evaluation.seeds])
    points = reliability(probability, success, evaluation.models).to_pylist()
    return reliability_plot([point for point in points if point["count"] >= LEAST_PER_BIN], evaluation.models)
