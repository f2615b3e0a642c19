"""Watch a router at work: the calibration of its decisions, the shift of its inputs, and who should route next.

Uses numpy only: no Dagster, no prices, no warehouse.
"""

from routing_assets.monitoring.calibration import Decisions, calibration_drift
from routing_assets.monitoring.challenge import LEAST_GROUPS, MARGIN, Challenge, beats
from routing_assets.monitoring.metric import DriftMetric
from routing_assets.monitoring.population import (
    LEAST_INSTRUCTIONS,
    Embeddings,
    Occupancy,
    embedding_shift,
    occupancy_shift,
    population_stability_index,
)
from routing_assets.monitoring.report import Advice, DriftReport, DriftSettings, drift_report, recalibrate

__all__ = [
    "LEAST_GROUPS",
    "LEAST_INSTRUCTIONS",
    "MARGIN",
    "Advice",
    "Challenge",
    "Decisions",
    "DriftMetric",
    "DriftReport",
    "DriftSettings",
    "Embeddings",
    "Occupancy",
    "beats",
    "calibration_drift",
    "drift_report",
    "embedding_shift",
    "occupancy_shift",
    "population_stability_index",
    "recalibrate",
]
