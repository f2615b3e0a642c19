"""Opens LLM-Uncertainty-Bench's pickled option logits without trusting them; see ``pickled_arrays``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from routing_assets.datasets.pickled_arrays import UnreadablePickle, Vector, read_pickle
from routing_assets.foundation.errors import InvalidInput

OPTIONS = "ABCDEF"
LARGEST_FILE = 32 << 20
"""Bytes; the benchmark's own files of 10,000 rows have less than one million."""


def read_option_logits(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids (N,) int64 and logits (N, 6) float64 of the options A to F; wider vectors are cut to six.

    Raises:
        InvalidInput: when the pickle names anything but numpy vectors, is corrupt, too large, or holds anything but
            a list of ``{"id": int, "logits_options": vector of six or more finite numbers}``.
    """
    records = _unpickle(path)
    if not isinstance(records, list) or not records:
        raise InvalidInput("the pickle does not hold a list of records", source=str(path), remedy="Copy the file again")
    ids = np.empty(len(records), dtype=np.int64)
    logits = np.empty((len(records), len(OPTIONS)))
    for row, record in enumerate(records):
        match record:
            case {"id": int(identity), "logits_options": Vector(values=values)} if abs(identity) < 1 << 63 and len(
                values
            ) >= len(OPTIONS):
                ids[row], logits[row] = identity, values[: len(OPTIONS)]
            case _:
                raise InvalidInput("the record is not an id with six option logits", source=str(path), row=row + 1)
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise InvalidInput(
            "an option logit is not finite", source=str(path), row=int(finite.argmin()) + 1, column="logits_options"
        )
    return ids, logits


def _unpickle(path: Path) -> Any:
    if path.stat().st_size > LARGEST_FILE:
        raise InvalidInput(
            f"the pickle has {path.stat().st_size >> 20} MiB, more than {LARGEST_FILE >> 20}",
            source=str(path),
            remedy="Give each task a file of its own",
        )
    try:
        return read_pickle(path.read_bytes())
    except UnreadablePickle as error:
        raise InvalidInput(
            f"the pickle is refused: {error}",
            source=str(path),
            remedy="Only lists of numpy vectors are opened; copy the file again from its origin",
        ) from error
