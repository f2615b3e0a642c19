"""Compare recent batches with the router in force: predictions, outcomes, and the kind of instructions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import about, matrix
from routing_assets.monitoring import (
    LEAST_INSTRUCTIONS,
    Decisions,
    DriftReport,
    DriftSettings,
    Embeddings,
    Occupancy,
    drift_report,
)
from routing_assets.routers.outcome_labels import judged_batches
from routing_assets.routers.shelf import JUDGED_BY, Shelf, load_router
from routing_assets.storage.in_force import candidate
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

if TYPE_CHECKING:  # torch loads with the router
    from routing_assets.prediction.router import Router

MOST_TEXTS = 2_000
"""Recent and tested texts looked at, at most: seconds, where scoring did not leave their embeddings in the cache."""


def watch(
    warehouse: Warehouse, store: Store, shelf: Shelf, router_version: str, settings: DriftSettings, *, batches: int
) -> DriftReport:
    """Judge the router by the most recent batches that it decided and that have outcomes.

    Calibration and ranking are judged by outcomes; what the router predicts of these batches, and their embeddings, are
    compared with those of the instructions that it was tested on. Copies of a text say no more than one of them, so
    each text counts once: as it was asked and judged last.

    Raises:
        InvalidInput: no batch has outcomes yet.
    """
    recent = judged_batches(warehouse, store, batches=batches, router_version=router_version)
    if not recent:
        if judged_batches(warehouse, store, batches=1):
            return DriftReport((), "none", f"there are no outcomes yet of batches routed by router {router_version}")
        raise InvalidInput(
            f"no batch that router {router_version} decided has outcomes yet",
            remedy="Load them with routing-assets outcomes.",
        )
    judged = [store.read("batch_outcomes", row["batch_id"]) for row in recent]
    scores = [store.read("probability_matrix", row["batch_id"], row["dagster_run_id"]) for row in recent]
    models = tuple(json.loads(about(scores[0])["models"]))
    asked = np.concatenate([matrix(table, "scaled", models) for table in scores])
    batches_asked = [store.read("batch_instructions", row["batch_id"], row["dagster_run_id"]) for row in recent]
    texts = np.concatenate([table["instruction"].to_numpy(zero_copy_only=False) for table in batches_asked])
    component = related_rows(texts)
    once = first_of_each(component)
    router, tested = load_router(shelf, router_version), held_out_rows(warehouse, shelf, router_version)
    occupancy = Occupancy(router.predict(tested.instruction, tested.task).scaled, asked[once], models)
    embeddings = embedded(router, tested.instruction, texts[once])
    return drift_report(decisions(pa.concat_tables(judged), component), occupancy, embeddings, settings)


def decisions(matched: pa.Table, component: np.ndarray) -> Decisions:
    """The assignments whose success is known; of those of one component, the first.

    Whether a text is answered well is mostly a matter of the text, whoever answers: taken as independent, its copies
    would make chance look like drift.

    Args:
        component: (N,) equal for rows of the same text.
    """
    judged = np.flatnonzero(matched["success"].is_valid().to_numpy())
    known = matched.take(judged[first_of_each(component[judged])])
    return Decisions(
        known["expected_success"].to_numpy().astype(np.float64),
        known["success"].to_numpy().astype(np.float64),
        np.array(known["model"].to_pylist(), dtype=object),
    )


def first_of_each(component: np.ndarray) -> np.ndarray:
    """The first row of each component, ascending."""
    return np.sort(np.unique(component, return_index=True)[1])


def held_out_rows(warehouse: Warehouse, shelf: Shelf, router_version: str, seed: int = 0) -> LabelledInstructions:
    """The rows that tested the router's classifier, each text once, in random order and at most :data:`MOST_TEXTS`.

    It learnt from none of them. The logits that calibrated it will not do as a reference: most are out-of-fold ones, by
    a single member each, which are distributed otherwise than those of the whole ensemble.
    """
    classifier_id = candidate(warehouse, router_version)["classifier_id"]
    trained = warehouse.fetch("trained_router_of", {"classifier_id": classifier_id})[0]
    rows = LabelledInstructions.from_arrow(pq.read_table(shelf.folder / trained["router_version"] / JUDGED_BY))
    once = first_of_each(related_rows(rows.instruction))
    return rows.take(np.random.default_rng(seed).permutation(once)[:MOST_TEXTS])


def embedded(router: Router, tested: np.ndarray, recent: np.ndarray, seed: int = 0) -> Embeddings | None:
    """Embeddings of distinct tested and recent texts, :data:`MOST_TEXTS` of these; None where one side has too few."""
    if min(len(tested), len(recent)) < LEAST_INSTRUCTIONS:
        return None
    drawn = np.random.default_rng(seed).permutation(len(recent))[:MOST_TEXTS]
    return Embeddings(*(router.classifier.embeddings(texts) for texts in (tested, recent[drawn])))
