"""Markdown for names and texts that users gave: every character is shown and none acts as markup."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from routing_assets.foundation.names import printable

_MARKUP = re.compile(r"([\\`*\[\]|])")


def plain(text: str) -> str:
    """``text`` on one line, with every character that Markdown or HTML would read as markup escaped."""
    return _MARKUP.sub(r"\\\1", html.escape(printable(" ".join(text.split())), quote=False))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of rows with equal keys; floats have four significant digits, None is a dash."""
    lines = [
        list(map(plain, rows[0])),
        ["---"] * len(rows[0]),
        *([_cell(row[name]) for name in rows[0]] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code_block(text: str) -> str:
    """``text`` unchanged in a code block whose fence is longer than any run of backticks in the text."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else plain(str(value))
