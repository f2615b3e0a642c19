"""Tables for the terminal, and for the scripts that read a command's output."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from routing_assets.foundation.names import printable

WIDER_THAN_ANY = 1_000_000
"""Characters; a value is never wrapped or cut, so that it can be copied whole."""


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as aligned columns, numbers to the right, floats with four significant digits, None as a dash.

    A value that a row lacks is None. The head is bold in a terminal. Files and pipes get plain text.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        numeric = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(Text(printable(name)), no_wrap=True, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in names))
    out = io.StringIO()
    Console(file=out, width=WIDER_THAN_ANY, force_terminal=sys.stdout.isatty()).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else printable(str(value))
