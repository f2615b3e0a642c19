"""Graded calls, which every evaluation log is read as."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.reading import RawTable, no_rows
from routing_assets.datasets.table import table_labels
from routing_assets.foundation.errors import InvalidInput


@dataclass(frozen=True)
class Call:
    """One answer of one model, and whether it was right."""

    instruction_id: str
    instruction: str
    model: str
    success: float | None
    """In [0, 1]; None where the answer was not graded, for example after an error of the API."""
    task: str | None = None
    cost: float | None = None
    """USD."""
    input_tokens: float | None = None
    """All that were read, those from a cache too."""
    output_tokens: float | None = None
    """All that were written, those of reasoning too."""
    cached_tokens: float | None = None
    reasoning_tokens: float | None = None


COLUMNS = pa.schema(
    [
        ("instruction_id", pa.string()),
        ("instruction", pa.string()),
        ("model", pa.string()),
        ("success", pa.float64()),
        ("task", pa.string()),
        ("cost", pa.float64()),
        ("input_tokens", pa.float64()),
        ("output_tokens", pa.float64()),
        ("cached_tokens", pa.float64()),
        ("reasoning_tokens", pa.float64()),
    ]
)


def labels_of_calls(calls: Iterable[Call], source: str, name: str | None) -> LabelledInstructions:
    """Graded calls as labels. Several calls of one model on one instruction are trials of it.

    Raises:
        InvalidInput: there is no graded call, or the calls contradict each other.
    """
    table = pa.Table.from_pylist([asdict(call) for call in calls], schema=COLUMNS)
    if table.num_rows == 0:
        raise no_rows(source)
    empty = [field for field in table.schema.names if table[field].null_count == table.num_rows]
    if "success" in empty:
        raise InvalidInput("no answer in it was graded", source=source, remedy="Score the evaluation, then read it")
    return table_labels(RawTable(source, table.drop_columns(empty)), name=name, allow_missing=True)


def text_of(content: Any) -> str:
    """The text of a prompt: a text as it is; of messages and their parts, the texts one after the other."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n\n".join(filter(None, map(text_of, content)))
    if isinstance(content, dict):
        return text_of(content.get("text") or content.get("content") or "")
    return ""


def number(value: Any) -> float | None:
    """The value as a number, None where it is none; booleans count as 0 and 1."""
    return float(value) if isinstance(value, int | float) else None
