"""Opens LLM-Uncertainty-Bench's pickled option logits without trusting them.

A pickle can run any code that its reader lets it name. These files need three names of numpy and nothing else, so
nothing else is let through: https://docs.python.org/3/library/pickle.html#restricting-globals
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from routing_assets.errors import InvalidInput

OPTIONS = "ABCDEF"
_RECONSTRUCT = np.empty(0).__reduce__()[0]  # numpy's own, wherever this version keeps it
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,  # as numpy 1 wrote it
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # as numpy 2 writes it
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it wants to load {module}.{name}")
        return _ALLOWED[module, name]


def read_option_logits(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids (N,) int64 and logits (N, 6) float64 of the options A to F; wider vectors are cut to six.

    Raises:
        InvalidInput: when the pickle names anything but numpy arrays, is corrupt, or holds something else than a list
            of ``{"id": int, "logits_options": vector of six or more finite numbers}``.
    """
    records = _unpickle(path)
    if not isinstance(records, list) or not records:
        raise InvalidInput("the pickle holds no list of records", source=str(path), remedy="Copy the file again")
    ids = np.empty(len(records), dtype=np.int64)
    logits = np.empty((len(records), len(OPTIONS)))
    for row, record in enumerate(records):
        try:
            ids[row] = record["id"]
            logits[row] = record["logits_options"][: len(OPTIONS)]
        except (TypeError, KeyError, ValueError, IndexError) as error:
            raise InvalidInput(
                "the record is not an id with six option logits", source=str(path), row=row + 1
            ) from error
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise InvalidInput(
            "an option logit is not finite", source=str(path), row=int(finite.argmin()) + 1, column="logits_options"
        )
    return ids, logits


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file).load()
    except Exception as error:  # a broken pickle may raise anything at all
        raise InvalidInput(
            f"the pickle is refused: {error}",
            source=str(path),
            remedy="Only lists of numpy arrays are opened; copy the file again from its origin",
        ) from error
