"""Where trained routers are kept: one folder per version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.foundation.files import atomic_folder

if TYPE_CHECKING:  # torch loads with the routers, not with the definitions
    from routing_assets.datasets import LabelledInstructions
    from routing_assets.prediction.router import Router

LEARNT_FROM = "learnt_from.parquet"
"""Hashes of the texts it learnt from, by part; see ``texts_learnt.py``."""
JUDGED_BY = "judged_by.parquet"
"""Labelled rows that nothing was fitted to, for comparisons."""
UNSEEN = "unseen.parquet"
"""Predictions for the labels of added models, each by a fit without that label, to judge these models by."""


@dataclass(frozen=True)
class Shelf:
    """Where trained routers are kept, and the sentence embeddings that they share."""

    folder: Path
    """One folder per version: safetensors, Parquet and JSON."""
    embeddings: Path
    """By content hash."""


def load_router(shelf: Shelf, version: str) -> Router:
    """A router that was kept."""
    from routing_assets.prediction.router import Router

    return Router.load(shelf.folder / version, embeddings_cache=shelf.embeddings)


def keep_router(
    directory: Path,
    router: Router,
    *,
    learnt_from: pa.Table,
    judged_by: LabelledInstructions,
    unseen: pa.Table | None = None,
) -> None:
    """Write a router, with the data that drift checks, comparisons and extensions need, completely or not at all."""
    with atomic_folder(directory) as work:
        router.save(work)
        if unseen is not None:
            pq.write_table(unseen, work / UNSEEN)
        pq.write_table(learnt_from, work / LEARNT_FROM)
        pq.write_table(judged_by.to_arrow(), work / JUDGED_BY)
