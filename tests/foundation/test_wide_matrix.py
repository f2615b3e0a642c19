"""Wide matrices are converted to Arrow and back without a copy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.wide_matrix import models_of, wide_matrix, wide_table

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
TABLE = wide_table(["a", "b", "c"], {"decision": VALUES}, about={"router_version": "r1"})


def test_a_matrix_is_converted_to_arrow_and_back_without_a_copy() -> None:
    assert np.shares_memory(wide_matrix(TABLE, "decision"), VALUES)
    assert np.array_equal(wide_matrix(TABLE.slice(1, 2), "decision"), VALUES[1:3])
    assert models_of(TABLE.schema) == ("a", "b", "c")
    assert TABLE.schema.metadata[b"router_version"] == b"r1"


def test_chunks_are_joined_and_no_rows_give_an_empty_matrix() -> None:
    joined = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    assert np.array_equal(wide_matrix(joined, "decision"), VALUES)
    assert wide_matrix(TABLE.schema.empty_table(), "decision").shape == (0, 3)


@pytest.mark.parametrize("rows", [[[1.0, None, 3.0]], [None, [1.0, 2.0, 3.0]]])
def test_a_missing_value_is_refused(rows: list) -> None:
    table = pa.table({"decision": pa.array(rows, pa.list_(pa.float32(), 3))})
    with pytest.raises(InvalidInput, match="column 'decision': a value is missing"):
        wide_matrix(table, "decision")


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.bool_])
def test_numbers_keep_their_type(kind: type) -> None:
    values = wide_matrix(wide_table(["a", "b", "c"], {"x": np.ones((2, 3), kind)}), "x")
    assert values.dtype == kind
    assert values.all()
