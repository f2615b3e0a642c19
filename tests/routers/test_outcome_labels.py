"""Outcomes become partial labels: of the model that answered, and of nobody else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from routing_assets.datasets import BatchInstructions, LabelledInstructions
from routing_assets.routers.outcome_labels import is_outcome, labels_from_outcomes, with_outcomes, without_outcomes

MODELS = ("large", "small")


def objects(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def outcome_rows() -> LabelledInstructions:
    batch = BatchInstructions(objects("a", "b", "c", "d"), objects("A?", "B?", "C?", "D?"), group=objects(*"tttt"))
    judged = pa.table(
        {
            "instruction_id": ["d", "a", "b", "c"],
            "model": ["small", "large", "retired", "small"],
            "success": [1.0, 0.0, 1.0, None],
        }
    )
    return labels_from_outcomes("week", batch, judged, MODELS)


def test_only_the_model_that_answered_is_labelled_and_only_where_it_was_judged() -> None:
    rows = outcome_rows()
    assert rows.instruction_id.tolist() == ["outcome:week/d", "outcome:week/a"]
    assert rows.instruction.tolist() == ["D?", "A?"]
    np.testing.assert_array_equal(rows.success, [[np.nan, 1], [0, np.nan]])
    assert rows.group is None  # a tenant is no reason to keep rows together


def test_they_join_a_label_table_and_leave_it_again() -> None:
    labels = LabelledInstructions(
        "table",
        MODELS,
        objects("x", "y"),
        objects("X?", "Y?"),
        np.array([[1, 0], [0, 1]]),
        cost=np.ones((2, 2)),
        group=objects("g", "g"),
    )
    both = with_outcomes(labels, outcome_rows())
    assert is_outcome(both).tolist() == [False, False, True, True]
    assert np.isnan(both.cost[2:]).all()  # type: ignore[index]
    assert both.group.tolist() == ["g", "g", None, None]  # type: ignore[union-attr]
    assert LabelledInstructions.from_arrow(both.to_arrow()).content_hash == both.content_hash
    alone = without_outcomes(both)
    assert alone.instruction_id.tolist() == ["x", "y"]
    assert with_outcomes(labels, outcome_rows().take(slice(0))) is labels
