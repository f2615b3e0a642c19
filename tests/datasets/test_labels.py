from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.datasets import LabelledInstructions, load_labels
from routing_assets.foundation.errors import InvalidInput


def make_labels(**changes: object) -> LabelledInstructions:
    values: dict = {
        "name": "tiny",
        "models": ("a", "b"),
        "instruction_id": ["1", "2", "3"],
        "instruction": ["x", "y", 'ž\n,"'],
        "success": [[0, 1], [np.nan, 0.3], [1, 1]],
        "cost": [[0.1, 2], [np.nan, 0], [1e-9, 3]],
        "task": ["t", "t", "u"],
    }
    return LabelledInstructions(**(values | changes))


def assert_same(one: LabelledInstructions, other: LabelledInstructions) -> None:
    assert (one.name, one.models, one.simulated) == (other.name, other.models, other.simulated)
    for column in (
        "instruction_id",
        "instruction",
        "success",
        "cost",
        "input_tokens",
        "output_tokens",
        "task",
        "group",
    ):
        left, right = getattr(one, column), getattr(other, column)
        assert (left is None) == (right is None), column
        if left is not None:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)


def test_arrow_round_trip_is_lossless() -> None:
    labels = make_labels(simulated=True, group=["g", "g", "h"], input_tokens=np.ones((3, 2)))
    restored = LabelledInstructions.from_arrow(labels.to_arrow())
    assert_same(labels, restored)
    assert restored.content_hash == labels.content_hash


@given(
    st.lists(st.tuples(st.text(min_size=1), st.floats(0, 1, width=32) | st.just(float("nan"))), min_size=1, max_size=8)
)
def test_arrow_round_trip_keeps_any_text_and_success(rows: list[tuple[str, float]]) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text, _ in rows]
    labels = LabelledInstructions(
        "any", ("m",), [str(i) for i in range(len(rows))], texts, [[value] for _, value in rows]
    )
    assert_same(labels, LabelledInstructions.from_arrow(labels.to_arrow()))


def test_a_stored_table_is_loaded_as_what_it_was(tmp_path) -> None:
    labels = make_labels(simulated=True)
    pq.write_table(labels.to_arrow(), tmp_path / "stored.parquet")
    assert_same(labels, load_labels(tmp_path / "stored.parquet"))


def test_from_arrow_refuses_a_foreign_table() -> None:
    with pytest.raises(InvalidInput, match="load_labels"):
        LabelledInstructions.from_arrow(make_labels().to_arrow().replace_schema_metadata({}))


def test_take_selects_rows_of_every_column() -> None:
    labels = make_labels()
    for rows in (np.array([2, 0]), [2, 0]):
        taken = labels.take(rows)
        assert taken.instruction_id.tolist() == ["3", "1"]
        np.testing.assert_array_equal(taken.success, labels.success[[2, 0]])
        np.testing.assert_array_equal(taken.cost, labels.cost[[2, 0]])
        assert taken.task.tolist() == ["u", "t"]
    assert labels.take(np.array([True, False, True])).instruction_id.tolist() == ["1", "3"]
    assert len(labels.take(slice(0, 2))) == 2


def test_content_hash_follows_the_content_not_the_name() -> None:
    labels = make_labels()
    assert make_labels(name="other").content_hash == labels.content_hash
    changes = [
        {"success": [[0, 1], [np.nan, 0.3], [1, 0]]},
        {"instruction": ["x", "y", "z"]},
        {"instruction_id": ["1", "2", "4"]},
        {"models": ("a", "c")},
        {"cost": None},
        {"simulated": True},
        {"task": None, "group": ["t", "t", "u"]},
    ]
    hashes = {make_labels(**change).content_hash for change in changes} | {labels.content_hash}
    assert len(hashes) == len(changes) + 1


def test_content_hash_tells_where_one_text_ends() -> None:
    assert (
        make_labels(instruction=["xy", "", "z"]).content_hash != make_labels(instruction=["x", "y", "z"]).content_hash
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"success": [[0, 1]]}, "shape"),
        ({"success": [[0, 1], [2, 0], [0, 0]]}, "outside"),
        ({"instruction_id": ["1", "1", "2"]}, "repeat"),
        ({"models": ("a", "a")}, "twice"),
        ({"models": ("a", "task")}, "'task'"),
        ({"models": ("a", "a|cost")}, r"'a\|cost'"),
        ({"models": (), "success": np.empty((3, 0)), "cost": None}, "no models"),
        ({"cost": [[0, -1], [0, 0], [0, 0]]}, "negative"),
        ({"task": ["t"]}, "shape"),
    ],
)
def test_broken_labels_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_labels(**changes)
