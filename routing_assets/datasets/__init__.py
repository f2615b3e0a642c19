"""Labelled instructions from anywhere become one validated table; batches likewise. No Dagster, no torch."""

from routing_assets.datasets.batch import BatchInstructions, load_batch, write_batch
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.load import LabelFormat, load_labels
from routing_assets.datasets.simulated import Twin, simulate

__all__ = [
    "BatchInstructions",
    "LabelFormat",
    "LabelledInstructions",
    "Twin",
    "load_batch",
    "load_labels",
    "simulate",
    "write_batch",
]
