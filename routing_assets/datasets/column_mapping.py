"""Give the columns of a table our names, and make ids where it has none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import pyarrow as pa

from routing_assets.datasets.column_names import OPTIONS, missing_column_remedy
from routing_assets.datasets.reading import RawTable
from routing_assets.datasets.validation import text_values, texts_with_faults
from routing_assets.foundation.errors import InvalidInput

MadeIds = Literal["row", "text"]
"""How ids are made: from the number of the row, or from the text, so that equal texts have equal ids."""


def map_columns(raw: RawTable, columns: Mapping[str, str], made_ids: MadeIds | None = None) -> RawTable:
    """The table with our names for its columns.

    Args:
        columns: by our name of a column, the name in the table.
        made_ids: how to make a column ``instruction_id``; None: make none.

    Raises:
        InvalidInput: a column is unknown, or two columns would have one name.
    """
    table = raw.columns.rename_columns(renamed(raw.columns.column_names, columns, raw.source))
    mapped = RawTable(raw.source, table, raw.first_row)
    return mapped if made_ids is None else _with_ids(mapped, made_ids)


def renamed(names: Sequence[str], columns: Mapping[str, str], source: str) -> list[str]:
    """The names of a table's columns, with ours in place of those that are mapped. Raises as :func:`map_columns`."""
    for ours, theirs in columns.items():
        if ours not in OPTIONS:
            raise InvalidInput(f"'{ours}' is not a column that can be mapped", remedy=f"Map {', '.join(OPTIONS)}")
        if theirs not in names:
            raise unknown_column(names, ours, theirs, source)
        if ours in names and ours != theirs:
            raise InvalidInput(
                f"{theirs!r} is mapped to the column {ours!r}, but the file already has a column of that name",
                source=source,
                column=ours,
                remedy=f"Leave {OPTIONS[ours]} out, or ignore one of the two columns",
            )
    ours_of = {theirs: ours for ours, theirs in columns.items()}
    return [ours_of.get(name, name) for name in names]


def unknown_column(names: Iterable[str], ours: str, theirs: str, source: str) -> InvalidInput:
    """The error for a column that is to be one of ours, and that the file does not have."""
    known = ", ".join(map(repr, names))
    return InvalidInput(
        f"there is no column {theirs!r}; the file has {known}", source=source, remedy=f"Correct {OPTIONS[ours]}"
    )


def refuse_made_ids(names: Sequence[str], made: str, source: str) -> None:
    """Raise InvalidInput where ids cannot be made of a table with these columns."""
    if made not in get_args(MadeIds):
        raise InvalidInput(f"ids cannot be made from {made!r}", remedy=f"Choose one of {', '.join(get_args(MadeIds))}")
    if "instruction_id" in names:
        raise InvalidInput(
            "ids are to be made (--make-ids), but the file already has a column of them",
            source=source,
            column="instruction_id",
            remedy="Leave --make-ids out",
        )
    if made == "text" and "instruction" not in names:
        raise InvalidInput(
            "ids are to be made from the texts (--make-ids content), but the file has no column of texts",
            source=source,
            column="instruction",
            remedy=missing_column_remedy(names, "instruction"),
        )


def _with_ids(raw: RawTable, made: MadeIds) -> RawTable:
    refuse_made_ids(raw.columns.column_names, made, raw.source)
    ids = [f"row-{raw.row(index)}" for index in range(len(raw))]
    if made == "text":
        column, ((blank, _), *_) = texts_with_faults(raw, "instruction")
        texts = zip(text_values(column), blank, ids, strict=True)
        ids = [row if nothing else hashlib.sha256(text.encode()).hexdigest()[:16] for text, nothing, row in texts]
    return RawTable(raw.source, raw.columns.append_column("instruction_id", pa.array(ids, pa.string())), raw.first_row)
