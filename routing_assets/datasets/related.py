"""Which instructions must stay in one part of a split: equal texts, and members of one group."""

from __future__ import annotations

import unicodedata

import numpy as np

from routing_assets.datasets.codes import text_codes


def normalise_text(text: str) -> str:
    """The form in which two instructions count as the same text: Unicode NFKC, case and runs of white space ignored."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def related_rows(instruction: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """(N,) int component of each row: rows share one if they have equal text or equal group, transitively.

    None, NaN and "" are not groups.
    """
    n = len(instruction)
    row, code = np.arange(n), n + text_codes([normalise_text(text) for text in instruction])
    if group is not None:
        has_group = np.array([value is not None and value == value and value != "" for value in group], dtype=bool)
        row = np.concatenate([row, np.flatnonzero(has_group)])
        code = np.concatenate([code, 2 * n + text_codes([str(value) for value in np.asarray(group)[has_group]])])
    from scipy.sparse import coo_array  # loads only where labels are split
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(row), dtype=bool), (row, code)), shape=(3 * n, 3 * n))
    _, component = connected_components(graph, directed=False)
    return np.unique(component[:n], return_inverse=True)[1]
