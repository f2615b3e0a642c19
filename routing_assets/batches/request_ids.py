"""Ids of requests: an instruction's own id, or a short id in its place where the provider would refuse it.

The short id is a hash of the instruction's id, so that it can be computed again when answers come. For people, the
hand-off folder holds ``request_ids.jsonl``: a line ``{"request_id", "instruction_id"}`` for each id that was replaced.
There is no such file where no id was replaced.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

REQUEST_IDS = "request_ids.jsonl"
_SHORT = re.compile("ra[0-9a-f]{32}")
"""Letters and digits only, which every provider takes."""


def request_id(instruction_id: str, allowed: re.Pattern[str]) -> str:
    """The id to send: the instruction's own, where it matches ``allowed`` and does not look like a short one."""
    if allowed.fullmatch(instruction_id) and not _SHORT.fullmatch(instruction_id):
        return instruction_id
    return _short(instruction_id)


def id_line(sent: str, instruction_id: str) -> bytes:
    """The line of :data:`REQUEST_IDS` for an id that was replaced."""
    return json.dumps({"request_id": sent, "instruction_id": instruction_id}, ensure_ascii=False).encode() + b"\n"


def replaced_ids(sent: Iterable[str], instruction_ids: Iterable[str]) -> dict[str, str]:
    """By short id, the instruction's id, for the ids among ``sent`` that were replaced."""
    short = {name for name in sent if _SHORT.fullmatch(name)}
    return {found: name for name in instruction_ids if (found := _short(name)) in short} if short else {}


def _short(instruction_id: str) -> str:
    return f"ra{hashlib.sha256(instruction_id.encode()).hexdigest()[:32]}"
