"""Samples of lm-evaluation-harness (``--log_samples``): JSONL, one file per model and task.

The harness writes ``<model>/samples_<task>_<time>.jsonl``. A record has ``doc_id``, ``doc``, ``arguments``, ``resps``,
``target`` and its metrics. Where a task has several filters, each has a record, and only the first is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from routing_assets.datasets.column_names import LIKELY
from routing_assets.datasets.evaluation_logs.calls import Call, number, text_of
from routing_assets.datasets.reading import read_json_lines
from routing_assets.foundation.errors import InvalidInput

METRICS = ("exact_match", "acc", "acc_norm", "pass@1", "pass_at_1", "prompt_level_strict_acc", "em", "mc2", "f1")
"""Metrics that say whether an answer is right; the first one that a record has is its success."""
_NAME = re.compile(r"samples_(?P<task>.+?)_\d{4}-\d\d-\d\dT.*")


def recognises(record: Any) -> bool:
    """Whether a record of a JSONL file is a sample."""
    return (
        isinstance(record, dict) and {"doc_id", "doc"} <= record.keys() and bool({"resps", "arguments"} & record.keys())
    )


def read(path: Path) -> Iterator[Call]:
    """The samples of one model on one task."""
    named = _NAME.fullmatch(path.stem)
    model, task = (path.resolve().parent.name, named["task"]) if named else (path.stem, None)
    chosen: dict[Any, str | None] = {}
    for row, record in enumerate(read_json_lines(path), start=1):
        if chosen.setdefault(record["doc_id"], record.get("filter")) != record.get("filter"):
            continue
        metric = next((name for name in METRICS if number(record.get(name)) is not None), None)
        if metric is None:
            raise InvalidInput(
                f"the sample has none of the metrics {', '.join(METRICS)}",
                source=str(path),
                row=row,
                remedy="Evaluate by one of them, or read the file as a table: --format table with --success-column",
            )
        identity = f"{task}/{record['doc_id']}" if task else str(record["doc_id"])
        yield Call(identity, _instruction(record), model, number(record[metric]), task=task)


def _instruction(record: dict[str, Any]) -> str:
    """The text of the document, which is the same for every model; else the prompt, which a chat template changes."""
    doc = record["doc"] if isinstance(record["doc"], dict) else {}
    for name in ("question", *LIKELY["instruction"]):
        if isinstance(doc.get(name), str) and doc[name].strip():
            return str(doc[name])
    arguments = record.get("arguments")
    if isinstance(arguments, dict):
        arguments = [list(given.values()) for given in arguments.values() if isinstance(given, dict)]
    first = arguments[0] if arguments else ""
    return text_of(first[0] if isinstance(first, list) and first else first)
