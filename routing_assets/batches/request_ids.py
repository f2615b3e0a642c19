"""Ids of requests: an instruction's own id, or a short one in its place where the provider would refuse the own one.

The hand-off folder holds ``request_ids.jsonl``: a line ``{"request_id", "instruction_id"}`` for each id that was
replaced. There is no such file where none was.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from routing_assets.datasets.reading import read_json_lines
from routing_assets.foundation.errors import InvalidInput

REQUEST_IDS = "request_ids.jsonl"
_REPLACED = re.compile("ra[0-9a-f]{32}")
"""Letters and digits only, which every provider takes."""


def request_id(instruction_id: str, allowed: re.Pattern[str]) -> str:
    """The id to send: the instruction's own, where it matches ``allowed`` and no replaced id looks like it."""
    if allowed.fullmatch(instruction_id) and not _REPLACED.fullmatch(instruction_id):
        return instruction_id
    return f"ra{hashlib.sha256(instruction_id.encode()).hexdigest()[:32]}"


def id_line(sent: str, instruction_id: str) -> bytes:
    """The line of :data:`REQUEST_IDS` for an id that was replaced."""
    return json.dumps({"request_id": sent, "instruction_id": instruction_id}, ensure_ascii=False).encode() + b"\n"


def read_request_ids(folder: Path) -> dict[str, str]:
    """The instruction's id by the id that was sent in its place; an id that is not there was sent as it is.

    Args:
        folder: of the hand-off.

    Raises:
        InvalidInput: the file of ids is not as it was written.
    """
    path = folder / REQUEST_IDS
    if not path.exists():
        return {}
    try:
        return {record["request_id"]: record["instruction_id"] for record in read_json_lines(path)}
    except KeyError as error:
        raise InvalidInput(
            f"a line has no {error}", source=str(path), remedy="Export the batch again, or restore the file"
        ) from error
