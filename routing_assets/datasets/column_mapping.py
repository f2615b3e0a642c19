"""Give the columns of a table our names, and make ids where it has none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from routing_assets.datasets.column_names import OPTIONS, missing_column_remedy
from routing_assets.datasets.reading import RawTable
from routing_assets.datasets.validation import text_column
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
    table = raw.columns
    for ours, theirs in columns.items():
        if ours not in OPTIONS:
            raise InvalidInput(f"'{ours}' is not a column that can be mapped", remedy=f"Map {', '.join(OPTIONS)}")
        if theirs not in table.column_names:
            raise _unknown(raw, ours, theirs)
        if ours in table.column_names and ours != theirs:
            raise InvalidInput(
                f"{theirs!r} is mapped to the column {ours!r}, but the table already has a column of that name",
                source=raw.source,
                column=ours,
                remedy=f"Leave {OPTIONS[ours]} out, or ignore one of the two columns",
            )
    names = {theirs: ours for ours, theirs in columns.items()}
    table = table.rename_columns([names.get(name, name) for name in table.column_names])
    mapped = RawTable(raw.source, table, raw.first_row)
    return mapped if made_ids is None else _with_ids(mapped, made_ids)


def _unknown(raw: RawTable, ours: str, theirs: str) -> InvalidInput:
    known = ", ".join(map(repr, raw.columns.column_names))
    return InvalidInput(
        f"there is no column {theirs!r}; the file has {known}", source=raw.source, remedy=f"Correct {OPTIONS[ours]}"
    )


def _with_ids(raw: RawTable, made: MadeIds) -> RawTable:
    if made not in get_args(MadeIds):
        raise InvalidInput(f"ids cannot be made from {made!r}", remedy=f"Choose one of {', '.join(get_args(MadeIds))}")
    if "instruction_id" in raw.columns.column_names:
        raise InvalidInput(
            "ids are to be made (--ids), but the table already has a column of them",
            source=raw.source,
            column="instruction_id",
            remedy="Leave --ids out",
        )
    if made == "row":
        ids = np.array([f"row-{raw.row(index)}" for index in range(len(raw))], dtype=object)
    else:
        if "instruction" not in raw.columns.column_names:
            raise InvalidInput(
                "ids are to be made from the texts (--ids text), but the table has no column of texts",
                source=raw.source,
                column="instruction",
                remedy=missing_column_remedy(raw.columns.column_names, "instruction"),
            )
        texts = text_column(raw, "instruction")
        ids = np.array([hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts], dtype=object)
    return RawTable(raw.source, raw.columns.append_column("instruction_id", pa.array(ids, pa.string())), raw.first_row)
