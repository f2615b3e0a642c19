"""Names that users gave, made safe for partition keys, paths and log lines."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

LONGEST_ID = 80


PACKED_ENDINGS = (".gz", ".zst", ".zstd", ".bz2")
"""Behind the ending of a file that is packed."""


def stem_of(file_name: str) -> str:
    """A file's name without its ending, and without that of what packed it: ``b`` of ``b.csv.gz``."""
    name = Path(file_name)
    return Path(name.stem).stem if name.suffix.lower() in PACKED_ENDINGS else name.stem


def batch_id_of(file_name: str) -> str:
    """A partition key for a file: its name without the ending if that is plain, else a plain form of it with a hash."""
    return plain_id(stem_of(file_name), file_name)


def is_plain(text: str) -> bool:
    """Whether ``text`` is safe in a path: 1 to 100 letters, digits, dots, dashes or underscores, and the first is
    neither a dot nor a dash.
    """
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", text) is not None


def plain_id(text: str, whole: str | None = None) -> str:
    """``text`` if it is plain (at most 80 letters, digits, dots, dashes or underscores, without a dot or dash at either
    end), else a plain form of it with a hash of ``whole``.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:LONGEST_ID]
    return plain if plain and plain == text else told_apart(plain or "batch", text if whole is None else whole)


def told_apart(plain: str, whole: str) -> str:
    """``plain`` with a hash of ``whole``, so that names with the same plain form differ."""
    return f"{plain}-{hashlib.sha256(whole.encode(errors='surrogatepass')).hexdigest()[:8]}"


def printable(text: str) -> str:
    """``text`` on one line: control characters, and bytes of a file name that are not UTF-8, are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
