"""SPROUT's table: ``key``, ``prompt``, and for every model an object with ``score`` and token counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from routing_assets.datasets.evaluation_logs.calls import Call, number
from routing_assets.datasets.evaluation_logs.records import records


def recognises(record: Any) -> bool:
    """Whether a record of a table is one of SPROUT's."""
    return isinstance(record, dict) and isinstance(record.get("prompt"), str) and bool(_models(record))


def read(path: Path) -> Iterator[Call]:
    """One call for every model that answered a record."""
    for place, record in enumerate(records(path)):
        for model in _models(record):
            answer = record[model]
            yield Call(
                str(record.get("key", place)),
                record["prompt"],
                model,
                number(answer.get("score")),
                task=record.get("dataset"),
                input_tokens=number(answer.get("num_input_tokens")),
                output_tokens=number(answer.get("num_output_tokens")),
            )


def _models(record: dict[str, Any]) -> list[str]:
    return [name for name, value in record.items() if isinstance(value, dict) and "score" in value]
