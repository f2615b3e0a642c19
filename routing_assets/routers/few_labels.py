"""Labels of models that are added to a router by few of them, kept so that later trainings learn from them as well.

The store holds them all in the table ``added_labels``. A model counts as long as the catalog names it: to remove
one, leave it out of the catalog.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.datasets import LabelledInstructions, append_labels
from routing_assets.datasets.column_mapping import MadeIds, map_columns
from routing_assets.datasets.labels import PER_MODEL_SUFFIXES, RESERVED_COLUMNS
from routing_assets.datasets.part_files import one_file
from routing_assets.datasets.reading import read_raw_table
from routing_assets.datasets.table import table_labels
from routing_assets.datasets.validation import require_columns
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.routers.shelf import LEARNT_FROM, Shelf
from routing_assets.routers.texts_learnt import learnt_rows, tested_rows, text_hashes
from routing_assets.storage.in_force import candidate, router_in_force
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

TABLE = "added_labels"
PREFIX = "added:"
"""Prefix of the ids of rows for such labels; model and hash of the text follow."""
LEAST_LABELS = 20
"""The least number of labels from which an added model is learnt."""


def checked_addition(
    warehouse: Warehouse,
    store: Store,
    shelf: Shelf,
    path: str,
    models: Sequence[str],
    catalog: ModelCatalog | None,
    **options: Any,
) -> LabelledInstructions:
    """All labels of added models, with those of the named ones in a label table.

    Args:
        options: how the table is read, see :func:`read_few`.

    Raises:
        InvalidInput: the table cannot be used, the router in force was trained on one of the models, there is no price
            of one, or too few labels to learn one from.
    """
    router = router_in_force(warehouse)["router_version"]
    few = read_few(path, models, **options)
    trained = json.loads((shelf.folder / router / "classifier" / "classifier.json").read_text())["models"]
    if known := [model for model in models if model in trained]:
        raise InvalidInput(
            f"the router in force was trained on '{known[0]}' already",
            remedy="Put these labels into its label table and train again.",
        )
    if catalog is not None:
        catalog.check_covers([*candidate(warehouse, router)["models"], *models])
    elif few.cost is None or np.isnan(few.cost).all(axis=0).any():
        raise InvalidInput(
            f"there is no price for {', '.join(models)}",
            source=path,
            remedy="Give a catalog that names every model, or a column '<model>|cost' in USD.",
        )
    together = merged(kept_labels(store), few)
    learnable(labels_of(together, models), pq.read_table(shelf.folder / router / LEARNT_FROM))
    return together


def read_few(
    path: str,
    models: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    made_ids: MadeIds | None = None,
    success_scale: float = 1.0,
    encoding: str | None = None,
) -> LabelledInstructions:
    """The named models' labels in a label table. Empty cells are unlabelled; rows without a label are left out.

    Columns that are neither part of a label table nor of these models are not read.

    Args:
        columns: by our name of a column, the table's own.
        made_ids, success_scale, encoding: see ``load_labels``.

    Raises:
        InvalidInput: the table cannot be read, or does not label one of the models.
    """
    with one_file(Path(path), encoding) as file:
        raw = map_columns(replace(read_raw_table(file), source=path), columns or {}, made_ids)
    require_columns(raw, ("instruction",))
    names = raw.columns.column_names
    is_long = "model" in names
    layout = (*RESERVED_COLUMNS, *(("model", "success", *PER_MODEL_SUFFIXES) if is_long else models))
    others = [name for name in names if name not in layout and name.rpartition("|")[0] not in models]
    if not is_long:
        refuse_unlabelled(models, [name for name in names if name not in RESERVED_COLUMNS and "|" not in name], path)
    labels = table_labels(raw, ignore_columns=others, allow_missing=True, success_scale=success_scale)
    labelled = ~np.isnan(labels.success).all(axis=0)
    refuse_unlabelled(models, [name for name, known in zip(labels.models, labelled, strict=True) if known], path)
    return labels_of(labels, models)


def refuse_unlabelled(models: Sequence[str], labelled: Sequence[str], path: str) -> None:
    """Raise InvalidInput for a model that is not among the labelled ones."""
    for model in models:
        if model not in labelled:
            raise InvalidInput(
                f"there is no label of the model '{model}'; labelled are {', '.join(labelled)}",
                source=path,
                remedy="Name it as the table does.",
            )


def labels_of(labels: LabelledInstructions, models: Sequence[str]) -> LabelledInstructions:
    """The rows that label one of the models, and the columns of these models."""
    few = labels.of_models(models)
    return few.take(~np.isnan(few.success).all(axis=1))


def kept_labels(store: Store) -> LabelledInstructions | None:
    """The labels of every model that was ever added; None where none was."""
    return LabelledInstructions.from_arrow(store.read(TABLE)) if store.path(TABLE).exists() else None


def merged(kept: LabelledInstructions | None, few: LabelledInstructions) -> LabelledInstructions:
    """Kept labels and new ones, a row for each model and text; where there are several of a pair, the last counts."""
    for model in few.models:
        own = labels_of(few, [model])
        ids = [f"{PREFIX}{model}/{text}" for text in text_hashes(own.instruction)]
        last = {name: row for row, name in enumerate(ids)}
        own = replace(own.take(list(last.values())), name="added", instruction_id=np.array(list(last), dtype=object))
        kept = own if kept is None else append_labels(kept.take(~np.isin(kept.instruction_id, own.instruction_id)), own)
    if kept is None:
        raise ValueError("labels of no model")
    return kept


def with_added(
    labels: LabelledInstructions, kept: LabelledInstructions | None, models: Sequence[str]
) -> LabelledInstructions:
    """A label table followed by the labels of these added models."""
    if kept is None or not models:
        return labels
    return append_labels(labels, labels_of(kept, models))


def priced_models(kept: LabelledInstructions | None, catalog: ModelCatalog | None) -> list[str]:
    """The added models that count: those the catalog, where there is one, names."""
    return [] if kept is None else [model for model in kept.models if catalog is None or model in catalog.names]


def without_added(labels: LabelledInstructions) -> LabelledInstructions:
    """The label table without the labels of added models, and without models that only these label."""
    own = labels.take([not name.startswith(PREFIX) for name in labels.instruction_id])
    labelled = ~np.isnan(own.success).all(axis=0)
    return own.of_models([model for model, known in zip(own.models, labelled, strict=True) if known])


def learnable(few: LabelledInstructions, learnt: pa.Table) -> tuple[LabelledInstructions, LabelledInstructions]:
    """Rows to learn added models from, and rows held back: what the router in force was tested on tests its successor.

    Args:
        learnt: the ``learnt_table`` of the router in force.

    Raises:
        InvalidInput: fewer than 20 labels of a model are left to learn from.
    """
    tested = tested_rows(few, learnt) & ~learnt_rows(few, learnt)
    for model, success in zip(few.models, few.success.T, strict=True):
        labelled = ~np.isnan(success)
        usable, held_back = int((labelled & ~tested).sum()), int((labelled & tested).sum())
        if usable < LEAST_LABELS:
            those = f"; {held_back} more are of instructions that test the router in force" if held_back else ""
            raise InvalidInput(
                f"{usable} labels to learn the model '{model}' from are too few{those}",
                remedy=f"Label at least {LEAST_LABELS} instructions that are not held back for testing.",
            )
    return few.take(~tested), few.take(tested)
