"""Seeded twins of two published experiments: real texts, published success rates, drawn labels. Always simulated."""

from routing_assets.datasets.simulated.published import PUBLISHED, PublishedExperiment, PublishedModel
from routing_assets.datasets.simulated.twins import SimulatedSample, Twin, simulate, simulate_sample

__all__ = [
    "PUBLISHED",
    "PublishedExperiment",
    "PublishedModel",
    "SimulatedSample",
    "Twin",
    "simulate",
    "simulate_sample",
]
