"""No router is judged by what any of the two learnt from, and the test split stays test as labels grow."""

from __future__ import annotations

import numpy as np

from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.splits import leaks, split_instructions
from routing_assets.routers.texts_learnt import learnt_rows, learnt_table, steadied


def labels(texts: list[str], groups: list[str | None] | None = None) -> LabelledInstructions:
    return LabelledInstructions(
        "t",
        ("m",),
        np.array([str(i) for i in range(len(texts))], dtype=object),
        np.array(texts, dtype=object),
        np.ones((len(texts), 1)),
        group=None if groups is None else np.array(groups, dtype=object),
    )


def test_equal_texts_and_groups_count_as_learnt_and_what_only_tested_does_not() -> None:
    known = labels(["one", "two", "three"], ["g", None, None])
    learnt = learnt_table(known, {"train": np.array([0]), "calibration": np.array([1]), "test": np.array([2])})
    rows = labels(["ONE ", "other", "two", "three", "new"], [None, "g", None, None, None])
    assert learnt_rows(rows, learnt).tolist() == [True, True, True, False, False]


def test_a_grown_table_keeps_its_test_rows_and_tests_on_nothing_that_was_learnt() -> None:
    texts = [f"text {i}" for i in range(400)]
    old = labels(texts)
    before = split_instructions(old.instruction, seed=0)
    learnt = learnt_table(old, dict(before.parts()))
    grown = labels(texts[::-1] + [f"new {i}" for i in range(200)])
    after = steadied(split_instructions(grown.instruction, seed=0), grown, learnt)
    tested = set(grown.instruction[after.test])
    assert set(old.instruction[before.test]) <= tested
    assert not learnt_rows(grown.take(after.test), learnt).any()
    assert 20 < len([text for text in tested if text.startswith("new")]) < 60
    assert len(leaks(after, grown.instruction)) == 0
    assert steadied(before, old, learnt).names().tolist() == before.names().tolist()


def test_a_split_is_left_alone_where_steadying_would_empty_a_part() -> None:
    old = labels([f"text {i}" for i in range(100)])
    learnt = learnt_table(old, {"train": np.arange(100), "test": np.array([], dtype=np.int64)})
    split = split_instructions(old.instruction, seed=0)
    assert steadied(split, old, learnt) is split
