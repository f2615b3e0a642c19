"""What a router learnt from, by hash of the text, so that no router is ever judged on it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.related import normalise_text, related_rows
from routing_assets.datasets.splits import Split
from routing_assets.routers.shelf import LEARNT_FROM, Shelf
from routing_assets.storage.warehouse import Warehouse

TEST = "test"


def learnt_table(labels: LabelledInstructions, parts: Mapping[str, np.ndarray]) -> pa.Table:
    """``text`` (a hash), ``group`` (null where there is none) and ``part`` of the given rows of each part."""
    rows = np.concatenate([np.asarray(rows, dtype=np.int64) for rows in parts.values()])
    names = np.repeat(np.array(list(parts), dtype=object), [len(rows) for rows in parts.values()])
    group = [None] * len(rows) if labels.group is None else labels.group[rows]
    return pa.table(
        {
            "text": pa.array(text_hashes(labels.instruction[rows]), pa.string()),
            "group": pa.array(group, pa.string()),
            "part": pa.array(names, pa.string()),
        }
    )


def text_hashes(instruction: np.ndarray) -> list[str]:
    """Sixteen hex digits for each text; texts that count as equal share them."""
    return [hashlib.sha256(normalise_text(text).encode()).hexdigest()[:16] for text in instruction]


def learnt_rows(labels: LabelledInstructions, learnt: pa.Table) -> np.ndarray:
    """(N,) True where a row, or one related to it by text or group, was learnt from; what only tested was not."""
    return _related(labels, learnt.filter(pa.array(np.asarray(learnt["part"]) != TEST)))


def tested_rows(labels: LabelledInstructions, learnt: pa.Table) -> np.ndarray:
    """(N,) True where a row, or one related to it by text or group, tested the router."""
    return _related(labels, learnt.filter(pa.array(np.asarray(learnt["part"]) == TEST)))


def steadied(split: Split, labels: LabelledInstructions, learnt: pa.Table) -> Split:
    """The split as the router in force needs it to be comparable with the next one.

    Rows that tested it are test rows again, and rows that it learnt from are never test rows. Rows new to it keep their
    part. The split is left as it is where that would empty a part.
    """
    tested = tested_rows(labels, learnt)
    known = learnt_rows(labels, learnt)
    names = split.names()
    names[(names == TEST) & known] = "train"
    names[tested & ~known] = TEST
    parts = [np.flatnonzero(names == part) for part, _ in split.parts()]
    return Split(*parts) if all(len(rows) for rows in parts) else split


def learnt_by_router_in_force(warehouse: Warehouse, shelf: Shelf) -> pa.Table | None:
    """The ``learnt_table`` of the router in force; None where there is none yet."""
    in_force = warehouse.fetch("latest_router")
    path = shelf.folder / in_force[0]["router_version"] / LEARNT_FROM if in_force else None
    return pq.read_table(path) if path else None


def _related(labels: LabelledInstructions, learnt: pa.Table) -> np.ndarray:
    component = related_rows(labels.instruction, labels.group)
    direct = np.isin(text_hashes(labels.instruction), np.asarray(learnt["text"]))
    if labels.group is not None:
        groups = {group for group in learnt["group"].to_pylist() if group}
        direct |= np.array([group in groups for group in labels.group], dtype=bool)
    return np.isin(component, component[direct])
