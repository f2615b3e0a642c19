"""Instruction x model matrices as long tables: one row per pair, in the order of the batch, then of the router."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from routing_assets.foundation.wide_matrix import wide_matrix


def long_table(
    instruction_id: np.ndarray, models: Sequence[str], columns: Mapping[str, np.ndarray], *, about: Mapping[str, str]
) -> pa.Table:
    """A table ``instruction_id, model, <columns>`` of N x K rows, with ``about`` in the schema's metadata.

    Args:
        instruction_id: (N,) ids.
        models: K names.
        columns: (N, K) matrices by column name.

    Ids and model names are dictionary-encoded: each takes four bytes per row.
    """
    n, k = len(instruction_id), len(models)
    rows = {
        "instruction_id": _repeated(np.repeat(np.arange(n, dtype=np.int32), k), instruction_id),
        "model": _repeated(np.tile(np.arange(k, dtype=np.int32), n), models),
        **{name: pa.array(np.ascontiguousarray(values).reshape(-1)) for name, values in columns.items()},
    }
    return pa.table(rows).replace_schema_metadata({key.encode(): value.encode() for key, value in about.items()})


def matrix(table: pa.Table, column: str, models: Sequence[str]) -> np.ndarray:
    """The (N, K) matrix of one column of a wide table or of a :func:`long_table`."""
    if pa.types.is_fixed_size_list(table.schema.field(column).type):
        return wide_matrix(table, column)
    return table[column].to_numpy().reshape(-1, len(models))


def matrix_of(table: pa.Table, column: str, models: Sequence[str]) -> np.ndarray:
    """The (N, K) matrix of K models, from a table whose metadata lists these and perhaps other models."""
    known = json.loads(about(table)["models"])
    whole = matrix(table, column, known)
    return whole if known == list(models) else whole[:, [known.index(model) for model in models]]


class HasSchema(Protocol):
    """A table, in memory or in parts."""

    @property
    def schema(self) -> pa.Schema: ...


def about(table: HasSchema) -> dict[str, str]:
    """The metadata of the table's schema, as text."""
    return {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}


def _repeated(codes: np.ndarray, values: Sequence[str] | np.ndarray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(values, pa.string()))
