"""Signals: what is known about an answer once it is there, such as the share of samples that agree with it.

A wide label table carries them as ``<model>|<signal>``, a long one as a column of that name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow.compute as pc

from routing_assets.datasets.reading import RawTable
from routing_assets.datasets.validation import number_column, plain_text, with_numbers_for_words
from routing_assets.foundation.errors import InvalidInput

NUMBERS = frozenset(
    {
        *("agreement", "check", "confidence", "entropy", "judge", "judge_score", "logprob", "mean_logprob"),
        *("perplexity", "response_chars", "response_tokens"),
    }
)
"""Signals that are numbers. Words such as "pass" and "false" count as 1 and 0."""
CLASSES = frozenset({"answer", "answer_class", "finish_reason"})
"""Signals that are classes, however they are written."""
KNOWN = NUMBERS | CLASSES
"""Signals that are recognised by their names."""


def signal_matrices(raw: RawTable, columns: Mapping[tuple[str, str], str], models: list[str]) -> dict[str, np.ndarray]:
    """(N, K) values of each signal, from the column of each (model, signal); see :func:`signal_columns`."""
    names = sorted({signal for _, signal in columns})
    return {
        name: _joined(signal_columns(raw, [columns.get((model, name)) for model in models], name), len(raw))
        for name in names
    }


def signal_columns(raw: RawTable, columns: list[str | None], name: str) -> list[np.ndarray | None]:
    """The values of one signal, one (N,) array a column: all float64, or all object arrays of str or None (classes).

    A signal of another name than the known ones is a number where every cell of it is.

    Raises:
        InvalidInput: naming the first cell that is not a number, where the signal is one.
    """

    def numbers(column: str) -> np.ndarray:
        values = number_column(with_numbers_for_words(raw, column), column, remedy="Write a number, or leave it empty")
        return np.where(np.isfinite(values), values, np.nan)

    present = [column for column in columns if column is not None]
    if name not in CLASSES:
        try:
            by_column = {column: numbers(column) for column in present}
        except InvalidInput:
            if name in NUMBERS:
                raise
        else:
            return [None if column is None else by_column[column] for column in columns]
    return [None if column is None else _classes(raw, column) for column in columns]


def is_signal(name: str, asked: Collection[str] = ()) -> bool:
    """Whether a name is that of a signal: a known one, or one that was asked for."""
    return name in KNOWN or name in asked


def _classes(raw: RawTable, column: str) -> np.ndarray:
    values = pc.utf8_trim_whitespace(plain_text(raw, column))
    return np.asarray(pc.if_else(pc.equal(values, ""), None, values).to_numpy(zero_copy_only=False), dtype=object)


def _joined(columns: list[np.ndarray | None], n: int) -> np.ndarray:
    classes = any(column is not None and column.dtype == object for column in columns)
    empty = np.full(n, None, dtype=object) if classes else np.full(n, np.nan)
    return np.column_stack([empty if column is None else column for column in columns])
