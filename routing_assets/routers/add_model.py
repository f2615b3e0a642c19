"""Add models to the router in force from few labels, without training anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.datasets import LabelledInstructions, append_labels
from routing_assets.datasets.related import related_rows
from routing_assets.foundation.content_version import content_version
from routing_assets.prediction.classifier.added_model import left_out_logits
from routing_assets.prediction.router import Router
from routing_assets.routers import mlflow_registry as tracking
from routing_assets.routers.few_labels import labels_of, learnable
from routing_assets.routers.registry import Registry
from routing_assets.routers.shelf import JUDGED_BY, LEARNT_FROM, Shelf, keep_router, load_router
from routing_assets.routers.texts_learnt import learnt_table
from routing_assets.routers.train import step_quality


@dataclass(frozen=True, eq=False)
class Extended:
    """A router with added models, kept under ``routers/<version>``."""

    record: dict[str, Any]
    """Its ledger record."""
    models: tuple[str, ...]
    temperatures: pa.Table
    buckets: pa.Table
    quality: pa.Table
    """Quality of each model after each step: of models known before on their held-out rows, of added ones on their
    labels, each predicted by a fit without it."""
    learnt_from: int
    """Labelled instructions."""
    held_back: int
    """Labelled instructions that the router in force was tested on."""


def extend(
    shelf: Shelf,
    registry: Registry,
    champion: Mapping[str, Any],
    added: LabelledInstructions,
    names: Sequence[str],
    *,
    run_id: str,
) -> Extended:
    """Add the named models to the router in force; one that was added before is fitted again.

    Args:
        champion: its record in the ledger of candidates.
        added: the labels of added models.

    Raises:
        InvalidInput: the router was trained on one of the models, or there are too few labels of it.
    """
    directory = shelf.folder / champion["router_version"]
    learnt = pq.read_table(directory / LEARNT_FROM)
    judges = LabelledInstructions.from_arrow(pq.read_table(directory / JUDGED_BY))
    before = router = load_router(shelf, champion["router_version"])
    fit, held_back = learnable(labels_of(added, names), learnt)
    panel = router.classifier.panel_logits(fit.instruction, fit.task)
    for name, success in zip(names, fit.success.T, strict=True):
        router = router.with_new_model(name, panel, success)
    logits, success = unseen_pairs(router, panel, fit)
    origin = pa.table({"classifier_id": [champion["classifier_id"]], "parent": [champion["router_version"]]})
    fits = pa.Table.from_pylist([asdict(model) for model in router.classifier.added])
    fitted = pa.table({"model": pa.array(router.models, pa.string()), "temperature": router.temperatures})
    fitted = fitted.append_column("shift", pa.array(_shifts(router)))
    ids = {
        "temperatures_id": content_version(origin, fits, fitted),
        "buckets_id": content_version(origin, fits, fitted, router.buckets),
    }
    version = content_version(origin, fits, fitted, router.buckets, pa.table({"decision": [router.decision]}))
    keep_router(
        shelf.folder / version,
        router,
        learnt_from=pa.concat_tables([learnt, learnt_table(fit, {"extension": np.arange(len(fit))})]),
        judged_by=append_labels(judges.take(~np.isin(judges.instruction_id, held_back.instruction_id)), held_back),
        unseen=unseen_table(router, logits, success, fit),
    )
    known = judges.of_models([model for model in before.models if model not in names])
    of_known = step_quality(before, before.classifier.logits(known.instruction, known.task), known)
    new = LabelledInstructions(fit.name, router.models, fit.instruction_id, fit.instruction, success)
    quality = pa.concat_tables([of_known, step_quality(router, logits, new)])
    logged = tracking.log_classifier(
        registry,
        shelf.folder / version / "classifier",
        router.models,
        name=f"{fit.name} + {', '.join(names)}",
        description=f"The classifier of router {champion['router_version']}, with {', '.join(names)} added.",
        labels=tracking.LabelSource(fit.name, champion["label_hash"], len(fit)),
        parameters={"extended_from": champion["router_version"], "added": ", ".join(names)},
        losses=[],
        metrics={},
        tags={"router_version": version, "dagster_run_id": run_id},
    )
    return Extended(
        {
            **champion,
            **ids,
            "router_version": version,
            "mlflow_run_id": logged.run_id,
            "mlflow_model_version": logged.model_version,
        },
        router.models,
        fitted.append_column("temperatures_id", pa.array([ids["temperatures_id"]] * fitted.num_rows)),
        router.buckets.append_column("buckets_id", pa.array([ids["buckets_id"]] * router.buckets.num_rows)),
        quality.drop(["model_index"]).append_column("router_version", pa.array([version] * quality.num_rows)),
        len(fit),
        len(held_back),
    )


def unseen_pairs(router: Router, panel: np.ndarray, labels: LabelledInstructions) -> tuple[np.ndarray, np.ndarray]:
    """Logits and success, each (n, K) in the router's columns, of the instructions that label added models.

    Only these models are labelled in it, and each label is predicted by a fit without it.
    """
    logits = np.column_stack([panel, *(model.logits(panel) for model in router.classifier.added)])
    success = np.full(logits.shape, np.nan, dtype=np.float32)
    for name, known in zip(labels.models, labels.success.T, strict=True):
        column = router.models.index(name)
        logits[:, column], success[:, column] = left_out_logits(name, panel, known), known
    return logits, success


def unseen_table(router: Router, logits: np.ndarray, success: np.ndarray, labels: LabelledInstructions) -> pa.Table:
    """``model, component, probability, success`` of each label in ``labels``; see :func:`unseen_pairs`."""
    row, column = np.nonzero(~np.isnan(success))
    return pa.table(
        {
            "model": pa.array([router.models[k] for k in column], pa.string()),
            "component": related_rows(labels.instruction, labels.group)[row],
            "probability": router.probabilities(logits).decision[row, column],
            "success": success[row, column],
        }
    )


def _shifts(router: Router) -> np.ndarray:
    return np.zeros(len(router.models)) if router.shifts is None else router.shifts
