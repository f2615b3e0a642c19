"""Signals of answers in a table of outcomes, such as a check that the LLM runners made."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from routing_assets.datasets.reading import read_raw_table
from routing_assets.datasets.signals import is_signal, signal_columns
from routing_assets.datasets.validation import text_column


def signals_in(path: Path, asked: Collection[str] = ()) -> Iterator[tuple[str, str, str, Any]]:
    """Instruction, model, signal and value of each cell that has one: float, or str for a class.

    Args:
        asked: names of signals beside those that are known by their names.

    Raises:
        InvalidInput: naming the first cell that is not a number, where the signal is one.
    """
    raw = read_raw_table(path)
    names = [name for name in raw.columns.column_names if is_signal(name, asked)]
    if not names:
        return
    ids, models = text_column(raw, "instruction_id"), text_column(raw, "model")
    for name in names:
        (values,) = signal_columns(raw, [name], name)
        for instruction, model, value in zip(ids, models, values if values is not None else (), strict=True):
            if value is not None and value == value:  # NaN is unknown
                yield instruction, model, name, value
