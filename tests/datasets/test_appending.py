"""Appended label tables: every value stays where it was, and what neither table knows is unknown."""

from __future__ import annotations

import numpy as np
import pytest

from routing_assets.datasets import LabelledInstructions, append_labels
from routing_assets.datasets.appending import merge_labels
from routing_assets.foundation.errors import InvalidInput

NAN = np.nan


def objects(*values: str | None) -> np.ndarray:
    return np.array(values, dtype=object)


BASE = LabelledInstructions(
    "base", ("a", "b"), objects("1", "2"), objects("One?", "Two?"), np.array([[1, 0], [0, NAN]]), task=objects("s", "t")
)
MORE = LabelledInstructions(
    "more", ("new", "b"), objects("3"), objects("Three?"), np.array([[1, 0.5]]), cost=np.array([[2.0, NAN]])
)


def test_models_are_matched_by_name_and_what_is_not_known_is_nan_or_none() -> None:
    both = append_labels(BASE, MORE)
    assert (both.name, both.models) == ("base", ("a", "b", "new"))
    assert both.instruction.tolist() == ["One?", "Two?", "Three?"]
    np.testing.assert_array_equal(both.success, [[1, 0, NAN], [0, NAN, NAN], [NAN, 0.5, 1]])
    np.testing.assert_array_equal(both.cost, [[NAN] * 3, [NAN] * 3, [NAN, NAN, 2]])  # type: ignore[arg-type]
    assert both.task.tolist() == ["s", "t", None]  # type: ignore[union-attr]
    assert both.group is None


def test_an_instruction_of_both_tables_is_one_row_when_they_are_merged() -> None:
    again = LabelledInstructions(
        "again",
        ("b", "new"),
        objects("2", "3"),
        objects("Two?", "Three?"),
        np.array([[1, NAN], [0, 1]]),
        input_tokens=np.array([[7, NAN], [8, 9]]),
    )
    both = merge_labels(BASE, again)
    assert both.instruction_id.tolist() == ["1", "2", "3"]
    np.testing.assert_array_equal(both.success, [[1, 0, NAN], [0, 1, NAN], [NAN, 0, 1]])
    np.testing.assert_array_equal(both.input_tokens, [[NAN] * 3, [NAN, 7, NAN], [NAN, 8, 9]])  # type: ignore[arg-type]
    assert both.task.tolist() == ["s", "t", None]  # type: ignore[union-attr]
    np.testing.assert_array_equal(merge_labels(BASE, BASE).success, BASE.success)


def test_an_id_with_two_texts_is_not_merged() -> None:
    other = LabelledInstructions("other", ("a",), objects("2"), objects("Another?"), np.array([[1]]))
    with pytest.raises(InvalidInput, match="'2' has another text in 'base'"):
        merge_labels(BASE, other)


def test_an_id_of_both_is_refused() -> None:
    with pytest.raises(InvalidInput, match="instruction ids repeat"):
        append_labels(BASE, BASE)


def test_columns_of_named_models_come_in_the_order_asked_for() -> None:
    both = append_labels(BASE, MORE).of_models(["new", "a"])
    np.testing.assert_array_equal(both.success, [[NAN, 1], [NAN, 0], [1, NAN]])
    np.testing.assert_array_equal(both.cost[:, 0], [NAN, NAN, 2])  # type: ignore[index]
