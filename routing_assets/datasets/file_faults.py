"""Errors for a file as a whole, in the same words for every format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from routing_assets.foundation.errors import InvalidInput


@dataclass(frozen=True)
class Limits:
    """The most that a file may hold; ``bytes`` also limits its unpacked content."""

    bytes: int
    rows: int
    columns: int


def no_rows(source: str) -> InvalidInput:
    """The error for a file without a single record."""
    return InvalidInput("the file has no rows", source=source, remedy="Check that it was written completely")


def too_large(source: str, size: str) -> InvalidInput:
    """The error for a file beyond the limits."""
    return InvalidInput(f"the file is too large: {size}", source=source, remedy="Split it, or leave columns out")


def not_utf8(path: Path, error: UnicodeDecodeError, row: int, column: str | None = None) -> InvalidInput:
    """The error for a byte that is not UTF-8."""
    return InvalidInput(
        f"byte 0x{error.object[error.start]:02x} is not UTF-8",
        source=str(path),
        row=row,
        column=column,
        remedy="Save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8')",
    )
