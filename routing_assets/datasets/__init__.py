"""Labelled instructions from anywhere become one validated table; batches likewise. No Dagster, no torch."""

from routing_assets.datasets.appending import append_labels
from routing_assets.datasets.batch import BatchInstructions, write_batch
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.load import LabelFormat, labels_from_table, load_labels
from routing_assets.datasets.outcomes import Outcomes, load_outcomes, match_outcomes, merge_outcomes
from routing_assets.datasets.portions import batch_from_table, load_batch
from routing_assets.datasets.scarce import refuse_scarce_models
from routing_assets.datasets.simulated import Twin, simulate

__all__ = [
    "BatchInstructions",
    "LabelFormat",
    "LabelledInstructions",
    "Outcomes",
    "Twin",
    "append_labels",
    "batch_from_table",
    "labels_from_table",
    "load_batch",
    "load_labels",
    "load_outcomes",
    "match_outcomes",
    "merge_outcomes",
    "refuse_scarce_models",
    "simulate",
    "write_batch",
]
