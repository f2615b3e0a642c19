"""The router in force with new temperatures, shifts and buckets, from the outcomes of what it decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.datasets import LabelledInstructions
from routing_assets.foundation.content_version import content_version
from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring import LEAST_GROUPS
from routing_assets.prediction.calibration.recalibration import (
    enough_for_buckets,
    fit_shifted_temperatures,
    recount_buckets,
)
from routing_assets.prediction.calibration.temperatures import scale
from routing_assets.routers import mlflow_registry as tracking
from routing_assets.routers.outcome_labels import judged_batches, outcome_labels
from routing_assets.routers.registry import Registry
from routing_assets.routers.shelf import LEARNT_FROM, Shelf, keep_router, load_router
from routing_assets.routers.texts_learnt import learnt_rows, learnt_table, text_hashes
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """A recalibrated router, kept under ``routers/<version>``."""

    record: dict[str, Any]
    """Its ledger record."""
    temperatures: pa.Table
    buckets: pa.Table
    fitted_on: int
    """Outcomes it was fitted on."""
    judged_by: int
    """Outcomes held out to compare it by."""


def recalibrate(
    warehouse: Warehouse, store: Store, shelf: Shelf, registry: Registry, champion: Mapping[str, Any], *, batches: int
) -> Recalibrated:
    """Recalibrate the router in force; nothing is trained.

    Half of the outcomes, by text, is held out for the comparison with the router as it is. Texts that the classifier
    learnt from are left out of both halves: its probabilities for them are overconfident.

    Args:
        champion: its record in the ledger of candidates.
        batches: the most recent batches it decided, at most, whose outcomes are taken.

    Raises:
        InvalidInput: there are too few outcomes.
    """
    parent = champion["router_version"]
    router = load_router(shelf, parent)
    rows = outcome_labels(
        store, judged_batches(warehouse, store, batches=batches, router_version=parent), router.models
    )
    learnt = pq.read_table(shelf.folder / parent / LEARNT_FROM)
    fit, held_out = halves(rows, learnt)
    if len(fit) < LEAST_GROUPS:
        raise InvalidInput(
            f"{len(fit)} outcomes of what router {parent} decided are too few to recalibrate it",
            remedy=f"Load more: about {2 * LEAST_GROUPS} at least.",
        )
    logits = router.corrected(router.classifier.logits(fit.instruction, fit.task))
    temperatures, shifts = fit_shifted_temperatures(logits, fit.success, router.temperatures, router.shifts)
    scaled = scale(logits, temperatures, shifts)
    buckets = recount_buckets(router.buckets, scaled, enough_for_buckets(fit.success), router.models)
    why = f"{router.decision}: as router {parent}, recalibrated by {len(fit)} outcomes"
    recalibrated = replace(router, temperatures=temperatures, shifts=shifts, buckets=buckets, why=why)

    origin = pa.table({"classifier_id": [champion["classifier_id"]], "parent": [parent]})
    fitted = pa.table({"model": pa.array(router.models, pa.string()), "temperature": temperatures, "shift": shifts})
    ids = {"temperatures_id": content_version(origin, fitted), "buckets_id": content_version(origin, fitted, buckets)}
    version = content_version(origin, fitted, buckets, pa.table({"decision": [router.decision]}))
    keep_router(
        shelf.folder / version,
        recalibrated,
        learnt_from=pa.concat_tables([learnt, learnt_table(fit, {"recalibration": np.arange(len(fit))})]),
        judged_by=held_out,
    )
    tags = {"router_version": version, "recalibrated_from": parent}
    logged = tracking.register_recalibrated(registry, champion["mlflow_model_version"], tags=tags)
    record = {**champion, **ids, "router_version": version, "mlflow_model_version": logged.model_version}
    return Recalibrated(
        record,
        fitted.append_column("temperatures_id", pa.array([ids["temperatures_id"]] * fitted.num_rows)),
        buckets.append_column("buckets_id", pa.array([ids["buckets_id"]] * buckets.num_rows)),
        len(fit),
        len(held_out),
    )


def halves(rows: LabelledInstructions, learnt: pa.Table) -> tuple[LabelledInstructions, LabelledInstructions]:
    """Outcome rows to fit on and rows to judge by; equal texts go together, and a text keeps its half forever."""
    part = np.asarray(learnt["part"])
    by_classifier = learnt_rows(rows, learnt.filter(pa.array(np.isin(part, ("train", "validation", "extension")))))
    even = np.array([int(text, 16) % 2 == 0 for text in text_hashes(rows.instruction)], dtype=bool)
    return rows.take(even & ~by_classifier), rows.take(~even & ~learnt_rows(rows, learnt))
