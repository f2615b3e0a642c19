"""Outcome files that are dropped into a folder named like their batch, or like the file that it came as."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.inbox import TakenIn, standing_alone, usable
from routing_assets.batches.known import known_batch
from routing_assets.batches.outcomes import receive_outcomes
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import printable
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse


def take_in_outcomes(
    warehouse: Warehouse, store: Store, folders: BatchFolders, name: str, files: Sequence[Path], taken: TakenIn
) -> str | None:
    """Take in the outcome files of the batch called ``name``, each alone; returns its id.

    Files of an unknown batch are rejected. What happened to each file is added to ``taken``.
    """
    try:
        batch_id = known_batch(warehouse, name)
    except InvalidInput as unknown:
        for file in files:
            with standing_alone(taken, file.name), usable(folders, file, taken):
                raise unknown
        return None
    if files and batch_id != name:
        taken.remarks.append(f"outcomes/{printable(name)} is taken for batch '{batch_id}', which came as that file")
    for file in files:
        with standing_alone(taken, file.name), usable(folders, file, taken):
            remarks = receive_outcomes(warehouse, store, folders, file, batch_id, move=True)
            taken.remarks += [f"{printable(file.name)}: {remark}" for remark in remarks]
    return batch_id


def outcomes_wait(warehouse: Warehouse, folders: BatchFolders, batch_id: str) -> bool:
    """Whether a folder of the batch's id, or of its file's name, holds outcomes that were not taken in yet."""
    for folder in folders.outcomes.iterdir():
        if folder.is_dir() and any(folder.iterdir()):
            try:
                if folder.name == batch_id or known_batch(warehouse, folder.name) == batch_id:
                    return True
            except InvalidInput:
                continue  # of an unknown batch
    return False
