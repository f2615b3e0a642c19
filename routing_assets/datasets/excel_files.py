"""Excel workbooks: the first sheet that has rows, by the optional package python-calamine."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from routing_assets.datasets.file_faults import Limits, no_rows, too_large
from routing_assets.foundation.errors import InvalidInput


def read_sheet(path: Path, limits: Limits) -> tuple[list[str], list[list[Any]], str]:
    """The names of the columns, the rows below them, and a remark on sheets that are not read (or an empty text).

    Whole numbers are ints, empty cells None, dates text.

    Raises:
        InvalidInput: the package is not installed, or the file is no workbook, has no rows or is beyond the limits.
    """
    try:
        import python_calamine
    except ImportError as error:
        raise InvalidInput(
            "Excel files are read by a package that is not installed",
            source=str(path),
            remedy="pip install 'routing_assets[excel]', or save the sheet as CSV UTF-8",
        ) from error
    _refuse_bomb(path, limits)
    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        sheets = {name: book.get_sheet_by_name(name) for name in book.sheet_names}
        filled = [name for name, sheet in sheets.items() if sheet.height]
        rows = [list(map(_value, row)) for row in sheets[filled[0]].to_python()] if filled else []
    except (python_calamine.CalamineError, ValueError) as error:
        raise InvalidInput(
            f"this is not a readable Excel file ({error})", source=str(path), remedy="Save it again as .xlsx or CSV"
        ) from error
    rows = [row for row in rows if any(value is not None for value in row)]
    used = [column for column, cells in enumerate(zip(*rows, strict=True)) if any(cell is not None for cell in cells)]
    rows = [[row[column] for column in used] for row in rows]
    if len(rows) < 2:
        raise no_rows(str(path))
    if len(rows) > limits.rows or len(rows[0]) > limits.columns:
        raise too_large(str(path), f"it has {len(rows):,} rows and {len(rows[0]):,} columns")
    others = ", ".join(map(repr, filled[1:]))
    remark = f"only the sheet {filled[0]!r} is read, not {others}" if others else ""
    return ["" if name is None else str(name) for name in rows[0]], rows[1:], remark


def _value(cell: Any) -> Any:
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if isinstance(cell, str | int | float | bool):
        return None if cell == "" else cell
    return None if cell is None else str(cell)


def _refuse_bomb(path: Path, limits: Limits) -> None:
    if not zipfile.is_zipfile(path):
        return  # an .xls is not packed
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > limits.bytes:
        raise too_large(str(path), f"unpacked it has {size / 2**30:.1f} GiB")
