"""Tables for the terminal."""

from __future__ import annotations

from typing import Any

from routing_assets.foundation.names import printable


def text_table(rows: list[dict[str, Any]]) -> str:
    """Rows as aligned columns; floats with four significant digits. Nothing for no rows."""
    if not rows:
        return ""
    cells = [[f"{v:.4g}" if isinstance(v, float) else printable(str(v)) for v in row.values()] for row in rows]
    lines = [list(rows[0]), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
