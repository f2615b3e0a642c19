"""Files that are beside the package in a checkout, and inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def beside_package(name: str) -> Path:
    """The path of such a file or folder, for example ``sql``."""
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name
