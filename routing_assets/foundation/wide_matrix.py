"""Instruction x model matrices as wide columns: a row per instruction, ``fixed_size_list<float32>[K]`` over models.

The names of the models, in their order, are in the schema's metadata under ``models``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from routing_assets.foundation.errors import InvalidInput


def matrix_type(models: int) -> pa.DataType:
    """The type of a wide column over so many models."""
    return pa.list_(pa.float32(), models)


def wide_schema(
    models: Sequence[str], matrices: Sequence[str], *, others: Sequence[pa.Field] = (), about: Mapping[str, str]
) -> pa.Schema:
    """The schema of a table with ``others`` and one wide column for each name in ``matrices``.

    Args:
        about: travels in the schema's metadata beside the models.
    """
    columns = [pa.field(name, matrix_type(len(models)), nullable=False) for name in matrices]
    metadata = {"models": json.dumps(list(models)), **about}
    return pa.schema([*others, *columns], metadata=metadata)


def wide_column(values: np.ndarray) -> pa.FixedSizeListArray:
    """An (N, K) matrix as a wide column. A C-contiguous float32 matrix is not copied."""
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=matrix_type(values.shape[1]))


def wide_matrix(rows: pa.Table | pa.RecordBatch, column: str) -> np.ndarray:
    """The (N, K) float32 matrix of a wide column; a view of the column where it is one piece.

    Raises:
        InvalidInput: a value is missing.
    """
    values = rows.column(column)
    pieces = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    if values.null_count or any(piece.flatten().null_count for piece in pieces):
        raise InvalidInput("a value is missing", column=column)
    k = values.type.list_size
    matrices = [piece.flatten().to_numpy().reshape(-1, k) for piece in pieces]
    if len(matrices) == 1:
        return matrices[0]
    return np.concatenate(matrices) if matrices else np.empty((0, k), dtype=np.float32)


def models_of(schema: pa.Schema) -> tuple[str, ...]:
    """The models of a table with wide columns, in the order of its matrices' columns."""
    return tuple(json.loads((schema.metadata or {})[b"models"]))
