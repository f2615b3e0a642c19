"""Requests that come as rows of a table, and ShareGPT conversations: written as JSON lines of requests.

A cell holds a list or an object, or its text as JSON or as Python prints it. What JSON Lines hold as requests already
needs none of this.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from routing_assets.datasets.openai_batch import LOOKED_AT
from routing_assets.datasets.part_files import JoinedParts, Part
from routing_assets.datasets.reading import is_json_lines, open_tables, read_json_lines
from routing_assets.foundation.errors import InvalidInput
from routing_assets.providers.lines import BODIES, CHAT_FIELDS

CONVERSATIONS = ("conversations", "conversation")
"""Fields of recorded dialogues, as ShareGPT and LMSYS write them."""
_REQUESTS = ("messages", *CONVERSATIONS, *BODIES)
_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "model"), "assistant"),
    "system": "system",
}
_ROWS_AT_ONCE = 1_000
_DECODED = {*_REQUESTS, *CHAT_FIELDS} - {"model"}


def write_requests(path: Path, target: Path) -> tuple[JoinedParts, str] | None:
    """Write the records of a file as requests, and say what they were; None where it is a table or has lines of
    requests already.
    """
    found = _field_of(path)
    if found is None:
        return None
    (records, first_row), rows = _records(path), 0
    with target.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(_request(record), default=str) + "\n")
            rows += 1
    said = f"conversations of '{found}', without answers at their ends" if found in CONVERSATIONS else ""
    return JoinedParts(target, (Part(path, {}, rows, first_row),)), said or f"requests in the column '{found}'"


def _field_of(path: Path) -> str | None:
    """The field that holds requests which are not lines of them yet."""
    if is_json_lines(path):
        fields: Iterable[str] = CONVERSATIONS
    else:
        names = open_tables(path)[0].names
        fields = [] if "instruction" in names else [name for name in _REQUESTS if name in names]
    if not fields:
        return None
    try:
        first = list(islice(_records(path)[0], LOOKED_AT))
    except InvalidInput:
        return None  # refused where it is read
    held = {name: sum(_holds(record, name) for record in first) for name in fields}
    best = max(fields, key=lambda name: held[name])
    return best if 2 * held[best] > len(first) else None


def _holds(record: Mapping[str, Any], name: str) -> bool:
    return isinstance(record.get(name), list | dict) and "instruction" not in record


def _records(path: Path) -> tuple[Iterator[dict[str, Any]], int]:
    """The records of a file, with the values of texts that are JSON, and the row number of the first."""
    if is_json_lines(path):
        return read_json_lines(path), 1
    file, first_row = open_tables(path)
    rows = (row for table in file.tables(_ROWS_AT_ONCE) for row in table.to_pylist())
    return (_of_table(row) for row in rows), first_row


def _of_table(row: Mapping[str, Any]) -> dict[str, Any]:
    decoded = {name: _decoded(value) if name in _DECODED else value for name, value in _without_nulls(row).items()}
    return {name: _whole(value) for name, value in decoded.items()}


def _without_nulls(value: Any) -> Any:
    """Without fields that are null: a column of objects has every field in every row."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(one) for name, one in value.items() if not _is_null(one)}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def _is_null(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _whole(value: Any) -> Any:
    """Whole numbers that a table holds as others, because some rows have none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def _request(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its conversation as messages; unchanged where a turn of it is of none of the known roles."""
    name = next((name for name in CONVERSATIONS if _holds(record, name)), None)
    if name is None or "messages" in record:
        return record
    messages = [_message(turn) for turn in record[name]]
    while messages and messages[-1] and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages or None in messages:
        return record
    system = record.get("system")
    first = [{"role": "system", "content": system}] if isinstance(system, str) and system else []
    rest = {field: value for field, value in record.items() if field not in (name, "system", "model")}
    return {**rest, "messages": [*first, *messages]}


def _message(turn: Any) -> dict[str, Any] | None:
    if not isinstance(turn, Mapping):
        return None
    role, content = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
    known = _ROLES.get(role) if isinstance(role, str) else None
    return None if known is None or content is None else {"role": known, "content": content}
