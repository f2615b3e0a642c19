"""Labelled instructions from anywhere become one validated table; batches likewise. No Dagster, no torch."""

from routing_assets.datasets.labels import LabelledInstructions

__all__ = ["LabelledInstructions"]
