"""Wide matrices go into Arrow and come out of it without being copied."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.wide_matrix import matrix_type, models_of, wide_column, wide_matrix, wide_schema

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
SCHEMA = wide_schema(["a", "b", "c"], ["decision"], about={"router_version": "r1"})


def test_a_matrix_goes_in_and_comes_out_without_a_copy() -> None:
    table = pa.table([wide_column(VALUES)], schema=SCHEMA)
    assert np.shares_memory(wide_matrix(table, "decision"), VALUES)
    assert np.array_equal(wide_matrix(table.slice(1, 2), "decision"), VALUES[1:3])
    assert models_of(table.schema) == ("a", "b", "c")
    assert table.schema.metadata[b"router_version"] == b"r1"


def test_pieces_are_joined_and_no_rows_are_a_matrix_too() -> None:
    table = pa.table([wide_column(VALUES)], schema=SCHEMA)
    joined = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert np.array_equal(wide_matrix(joined, "decision"), VALUES)
    assert wide_matrix(SCHEMA.empty_table(), "decision").shape == (0, 3)


@pytest.mark.parametrize("rows", [[[1.0, None, 3.0]], [None, [1.0, 2.0, 3.0]]])
def test_a_missing_value_is_refused(rows: list) -> None:
    table = pa.table({"decision": pa.array(rows, pa.list_(pa.float32(), 3))})
    with pytest.raises(InvalidInput, match="column 'decision': a value is missing"):
        wide_matrix(table, "decision")


def test_other_numbers_become_float32() -> None:
    assert wide_column(np.ones((2, 3))).type == matrix_type(3)
