"""What a picture of success by budget shows: which curves, and which part of the plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from routing_assets.evaluation.summary import Row

MIXTURE, ORACLE = "zero_router", "oracle"
_DECADES = 30
_MARGIN = 0.15


@dataclass(frozen=True)
class CurveView:
    """The curves by policy, in cells with a relative success, and the axes.

    The oracle is drawn only as far as the axis of the routed policy and the fixed mixture goes.

    Attributes:
        judged: the policy that routes.
        low: lower end of the axis of relative success.
        high: its upper end.
        least: the least budget that is drawn.
        log: whether budgets span decades, so that their axis is logarithmic.
    """

    curves: Mapping[str, list[Row]]
    judged: str
    low: float
    high: float
    least: float
    log: bool

    @property
    def decimals(self) -> int:
        """Decimals of the per cents of success."""
        return 0 if self.high - self.low > 0.02 else 1

    def middle(self, policy: str) -> Row:
        """The cell in the middle of what the axes show of a curve: where its name is written."""
        shown = [cell for cell in self.curves[policy] if cell["relative_success"] <= self.high]
        return (shown or self.curves[policy])[len(shown) // 2]


def curve_view(policies: Mapping[str, Row], judged: str) -> CurveView | None:
    """The view of an evaluation's policies; None where no model succeeds: no success is relative to anything."""
    curves = {
        name: [cell for cell in row["curve"] if cell["relative_success"] is not None] for name, row in policies.items()
    }
    curves = {name: cells for name, cells in curves.items() if cells and name != "best_single"}
    if judged not in curves:
        return None
    compared = [cell for name in (judged, MIXTURE) for cell in curves.get(name, ())]
    values = [1.0, *(cell["relative_success"] for cell in compared)]
    budgets = [1.0, *(cell["budget_fraction"] for cell in compared)]
    margin = _MARGIN * (max(values) - min(values))
    low, high, least = min(values) - margin, max(values) + margin, min(budgets)
    return CurveView(curves, judged, low, high, least, max(budgets) > _DECADES * least)
