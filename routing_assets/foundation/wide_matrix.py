"""Instruction x model matrices as wide columns: a row per instruction holds a ``fixed_size_list`` over K models.

The schema's metadata lists the model names, in this order, under ``models``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from routing_assets.foundation.errors import InvalidInput


def wide_column(values: np.ndarray) -> pa.FixedSizeListArray:
    """An (N, K) matrix as a wide column of the same number type. A C-contiguous matrix is not copied."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def wide_table(
    models: Sequence[str],
    matrices: Mapping[str, np.ndarray],
    *,
    others: Mapping[str, pa.Array] | None = None,
    about: Mapping[str, str] | None = None,
) -> pa.Table:
    """A table of N rows with the columns ``others`` and a wide column for each (N, K) matrix.

    Args:
        about: further metadata of the schema.
    """
    columns = {**(others or {}), **{name: wide_column(values) for name, values in matrices.items()}}
    return pa.table(columns).replace_schema_metadata({"models": json.dumps(list(models)), **(about or {})})


def wide_matrix(rows: pa.Table | pa.RecordBatch, column: str) -> np.ndarray:
    """The (N, K) matrix of a wide column, without a copy if the column is one chunk.

    Raises:
        InvalidInput: a value is missing.
    """
    values = rows.column(column)
    pieces = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    if values.null_count or any(piece.flatten().null_count for piece in pieces):
        raise InvalidInput("a value is missing", column=column)
    k = values.type.list_size
    matrices = [piece.flatten().to_numpy(zero_copy_only=False).reshape(-1, k) for piece in pieces]
    if len(matrices) == 1:
        return matrices[0]
    return np.concatenate(matrices) if matrices else np.empty((0, k), dtype=values.type.value_type.to_pandas_dtype())


def models_of(schema: pa.Schema) -> tuple[str, ...]:
    """The K models of a table with wide columns, in the order of the matrix columns."""
    return tuple(json.loads((schema.metadata or {})[b"models"]))
