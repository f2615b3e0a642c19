"""Seeded twins of two published experiments: real texts, published success rates, drawn labels. Always simulated."""

from routing_assets.datasets.simulated.published import PUBLISHED, PublishedExperiment, PublishedModel

__all__ = ["PUBLISHED", "PublishedExperiment", "PublishedModel"]
