"""Outcomes of routed batches as labels: of each instruction, the success of the one model that answered it.

The labels are partial: every other model of the row is unlabelled. Which model answered was decided from text, prices
and budget, never from the outcome, so these rows do not bias the likelihood. They only cover instructions for which
the model was chosen. Second calls are left out: they are made where the first answer looks wrong, so that any model
fails there more often than the text tells. A batch's ``group`` (a tenant, say) does not relate rows; equal texts do, as
everywhere.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from routing_assets.datasets import BatchInstructions, LabelledInstructions, append_labels
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

PREFIX = "outcome:"
"""Prefix of the ids of rows that come from outcomes, so that they do not equal ids of a label table by chance."""


def labels_from_outcomes(
    batch_id: str, batch: BatchInstructions, judged: pa.Table, models: tuple[str, ...]
) -> LabelledInstructions:
    """One labelled row for every instruction of a batch whose outcome is known.

    Args:
        judged: ``instruction_id, model, success`` (null where not judged yet), one row per instruction.
        models: the columns; outcomes of other models are left out.
    """
    known = judged.filter(judged["success"].is_valid())
    column = {model: k for k, model in enumerate(models)}
    row = {instruction: i for i, instruction in enumerate(batch.instruction_id)}
    ids, answered_by = known["instruction_id"].to_pylist(), known["model"].to_pylist()
    triples = [
        (row[i], column[m], s)
        for i, m, s in zip(ids, answered_by, known["success"].to_pylist(), strict=True)
        if i in row and m in column
    ]
    rows = np.array([i for i, _, _ in triples], dtype=np.int64)
    success = np.full((len(rows), len(models)), np.nan, dtype=np.float32)
    success[np.arange(len(rows)), [k for _, k, _ in triples]] = [s for *_, s in triples]
    return LabelledInstructions(
        name=batch_id,
        models=models,
        instruction_id=np.array([f"{PREFIX}{batch_id}/{batch.instruction_id[i]}" for i in rows], dtype=object),
        instruction=batch.instruction[rows],
        success=success,
        task=None if batch.task is None else batch.task[rows],
    )


def with_outcomes(labels: LabelledInstructions, outcomes: LabelledInstructions) -> LabelledInstructions:
    """A label table followed by outcome rows of the same models, without the costs of their calls."""
    return append_labels(labels, outcomes) if len(outcomes) else labels


def is_outcome(labels: LabelledInstructions) -> np.ndarray:
    """(N,) True for the rows that come from outcomes."""
    return np.array([name.startswith(PREFIX) for name in labels.instruction_id], dtype=bool)


def without_outcomes(labels: LabelledInstructions) -> LabelledInstructions:
    """The label table alone."""
    return labels.take(~is_outcome(labels))


def judged_batches(
    warehouse: Warehouse, store: Store, *, batches: int, router_version: str | None = None
) -> list[dict[str, str]]:
    """``batch_id, dagster_run_id, router_version`` of the most recent decisions with outcomes, newest first.

    Args:
        batches: at most so many.
        router_version: only what this router decided; by default whatever router did.
    """
    decided = warehouse.fetch("recent_decisions", {"router_version": router_version})
    found = [row for row in decided if store.path("batch_outcomes", row["batch_id"]).exists()]  # others were retired
    return found[:batches]


def outcome_labels(store: Store, judged: list[dict[str, str]], models: tuple[str, ...]) -> LabelledInstructions:
    """The labelled rows of these batches, as the store has them; no rows for no batches."""
    store, nothing = store, np.empty(0, dtype=object)
    together = LabelledInstructions("outcomes", models, nothing, nothing, np.empty((0, len(models))))
    for row in judged:
        batch = store.read("batch_instructions", row["batch_id"], row["dagster_run_id"])
        outcomes = store.read("batch_outcomes", row["batch_id"])
        rows = labels_from_outcomes(row["batch_id"], BatchInstructions.from_arrow(batch), outcomes, models)
        together = with_outcomes(together, rows)
    return together
