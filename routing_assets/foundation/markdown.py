"""Markdown of names and texts from outside: they are shown as they are, and never take effect as markup."""

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
    """Rows of the same keys as a table; floats with four significant digits, a dash for None."""
    lines = [
        list(map(plain, rows[0])),
        ["---"] * len(rows[0]),
        *([_cell(row[name]) for name in rows[0]] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code_block(text: str) -> str:
    """``text`` as it is, in a block that no line of it can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else plain(str(value))
