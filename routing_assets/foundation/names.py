"""Names from outside: what of a file's name may become a partition, a path or a line of a log."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

LONGEST_ID = 80


def batch_id_of(file_name: str) -> str:
    """A partition key from a file name: its stem where that is plain, else a plain form with a hash of the name."""
    return plain_id(Path(file_name).stem, file_name)


def is_plain(text: str) -> bool:
    """Whether ``text`` may stand in a path as it is: letters, digits, dot, dash, underscore, at most 100 of them,
    neither dot nor dash in front.
    """
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", text) is not None


def plain_id(text: str, whole: str | None = None) -> str:
    """``text`` where it is plain (letters, digits, dot, dash, underscore; at most 80; neither dot nor dash in front),
    else a plain form with a hash of ``whole``.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:LONGEST_ID]
    return plain if plain and plain == text else told_apart(plain or "batch", text if whole is None else whole)


def told_apart(plain: str, whole: str) -> str:
    """``plain`` with a hash of the whole name that it stands for."""
    return f"{plain}-{hashlib.sha256(whole.encode(errors='surrogatepass')).hexdigest()[:8]}"


def printable(text: str) -> str:
    """``text`` on one line: control characters, and bytes of a file name that are no UTF-8, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
