"""Read answers from a table of the user's: ``instruction_id, model, answer``, and optional columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from routing_assets.answers.answer import Answer, count
from routing_assets.datasets.column_mapping import map_columns
from routing_assets.datasets.labels import PARTS
from routing_assets.datasets.reading import RawTable, read_raw_table
from routing_assets.datasets.validation import amount_column, require_part, text_column

TEXTS = ("answer", "error", "finish_reason")
COUNTS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


def has_answers(raw: RawTable) -> bool:
    """Whether the table has a column of answers."""
    return "answer" in raw.columns.column_names


def read_answer_table(
    path: Path, arrived: float | None = None, columns: Mapping[str, str] | None = None
) -> tuple[Answer, ...]:
    """The answers of a table; none where it has no column ``answer``.

    A row without an answer is a failed call where it has an ``error``, and is left out where it has none.

    Args:
        path: Parquet, CSV or JSONL.
        arrived: when the file arrived, in seconds since 1970.
        columns: by our name of a column, the file's own.

    Raises:
        InvalidInput: naming file, row and column of the first fault found.
    """
    raw = map_columns(read_raw_table(path), columns or {})
    if not has_answers(raw):
        return ()
    for part, whole in PARTS.items():
        if {part, whole} <= set(raw.columns.column_names):
            require_part(raw, part, whole)
    ids, models = text_column(raw, "instruction_id"), text_column(raw, "model")
    texts = {name: _texts(raw, name) for name in TEXTS}
    counts = {name: _counts(raw, name) for name in COUNTS}
    return tuple(
        Answer(
            ids[row],
            models[row],
            1,
            text,
            texts["finish_reason"][row],
            error=error if not text else None,
            created=arrived,
            **{name: values[row] for name, values in counts.items()},
        )
        for row, (text, error) in enumerate(zip(texts["answer"], texts["error"], strict=True))
        if text or error
    )


def _texts(raw: RawTable, name: str) -> list[str | None]:
    if name not in raw.columns.column_names:
        return [None] * len(raw)
    return [None if value is None or value == "" else str(value) for value in raw.columns[name].to_pylist()]


def _counts(raw: RawTable, name: str) -> list[Any]:
    if name not in raw.columns.column_names:
        return [None] * len(raw)
    return [count(float(value)) for value in amount_column(raw, name, "number of tokens")]
