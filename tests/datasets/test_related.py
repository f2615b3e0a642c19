"""Rows are related by equal text or group, through any number of others."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.datasets.related import related_rows


def closure_by_brute_force(instruction: list[str], group: list[str]) -> list[frozenset[int]]:
    reach = [{j for j in range(len(group)) if instruction[i] == instruction[j] or (group[i] and group[i] == group[j])}
             for i in range(len(group))]  # fmt: skip
    for _ in group:
        reach = [set().union(*(reach[j] for j in rows)) for rows in reach]
    return [frozenset(rows) for rows in reach]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", "x", "y", "z"])), min_size=1, max_size=25))
def test_related_rows_are_the_transitive_closure_of_equal_text_and_equal_group(
    rows: list[tuple[str, str]],
) -> None:
    instruction, group = (list(column) for column in zip(*rows, strict=True))
    component = related_rows(np.array(instruction, dtype=object), np.array(group, dtype=object))
    expected = closure_by_brute_force(instruction, group)
    for i, relatives in enumerate(expected):
        assert set(np.flatnonzero(component == component[i])) == relatives


def test_case_and_white_space_make_no_other_text() -> None:
    component = related_rows(np.array(["Name a fish", "name  a fish\n", "Name a dish"], dtype=object))
    assert component[0] == component[1] != component[2]
