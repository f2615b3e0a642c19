"""Remove labels made from outcomes of retired batches, unless the policy keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import asdict

import numpy as np
import pyarrow.parquet as pq

from routing_assets.foundation.files import atomic_path
from routing_assets.routers.outcome_labels import PREFIX
from routing_assets.routers.registry import Registry
from routing_assets.routers.shelf import JUDGED_BY, Shelf
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

KEEPS = "keep_outcomes_as_labels"
"""Setting in the policy file: judged texts of retired batches stay as labels. By default they are removed."""
LABEL_TABLES = ("labelled_instructions", "splits")
READERS = {"train_router", "retrain_router", "recalibrate_router", "add_model", "update_prices", "evaluate_router"}
"""Jobs whose steps read the label table one after another, and must find the same rows in it."""


def forget_retired_labels(
    warehouse: Warehouse, store: Store, shelf: Shelf, registry: Registry, reading: str | None, *, keep_labels: bool
) -> str:
    """Remove the label rows that outcomes of retired batches made, unless the policy keeps them; say what was done.

    They leave every version of the label table and of its splits, and what routers are compared by. Routers keep what
    they learnt from them: weights and hashes, no text. While a run reads labels they wait for the next retirement.

    Args:
        reading: the run that reads labels just now; None where none does.
        keep_labels: what the policy says.
    """
    retired = {row["batch_id"] for row in warehouse.fetch("retirements")}
    if keep_labels:
        return f"judged texts of retired batches are kept as labels, because the policy sets {KEEPS}"
    if reading is not None:
        return f"labels made of retired batches wait for the next retirement, because run {reading} reads labels"
    of_others = _rows_of_others(retired)
    removed = [store.keep_rows(asset, of_others) for asset in LABEL_TABLES]
    for path in shelf.folder.glob(f"*/{JUDGED_BY}"):
        keep = of_others(pq.read_table(path, columns=["instruction_id"])["instruction_id"].to_pylist())
        if not keep.all():
            rows = pq.read_table(path, partitioning=None).filter(keep)
            with atomic_path(path) as temporary:
                pq.write_table(rows, temporary)
    hash_shared_blocks(shelf, registry)
    return f"{removed[0]} labelled rows that outcomes of retired batches made are removed"


def hash_shared_blocks(shelf: Shelf, registry: Registry) -> None:
    """Put hashes in place of the openings and ends of texts that routers of earlier versions kept word for word."""
    from routing_assets.prediction.classifier.features import InstructionFeatures
    from routing_assets.prediction.encoder.text import TextPreparation

    for root in (shelf.folder, registry.artifacts):
        for path in root.rglob("classifier.json"):
            about = json.loads(path.read_text(encoding="utf-8"))
            hashed = about | {
                "preparation": TextPreparation.from_dict(about["preparation"]).to_dict(),
                "features": asdict(InstructionFeatures.from_dict(about["features"])),
            }
            if json.dumps(hashed) != json.dumps(about):
                with atomic_path(path) as temporary:
                    temporary.write_text(json.dumps(hashed, indent=1), encoding="utf-8")


def _rows_of_others(retired: Collection[str]) -> Callable[[list[str]], np.ndarray]:
    def keep(ids: list[str]) -> np.ndarray:
        own = [name.startswith(PREFIX) and name[len(PREFIX) :].split("/", 1)[0] in retired for name in ids]
        return ~np.array(own, dtype=bool)

    return keep
