"""A period's budget over many batches: one shadow price for the stream, hard caps, a reserve, carry-over.

Imports allocation and numpy only.
"""

from routing_assets.pacing.arrivals import Arrival, Forecast, forecast
from routing_assets.pacing.curve import SpendCurve, curve_of, joined_curve, spend_curve
from routing_assets.pacing.pace import PacedBudget, batch_budget, least_usd, paced_budget
from routing_assets.pacing.period import PacingState, PastBatch, PeriodBudget, PeriodExhausted

__all__ = [
    "Arrival",
    "Forecast",
    "PacedBudget",
    "PacingState",
    "PastBatch",
    "PeriodBudget",
    "PeriodExhausted",
    "SpendCurve",
    "batch_budget",
    "curve_of",
    "forecast",
    "joined_curve",
    "least_usd",
    "paced_budget",
    "spend_curve",
]
