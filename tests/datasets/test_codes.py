from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.datasets.codes import text_codes


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)))
def test_codes_are_the_places_among_the_sorted_distinct_texts(texts: list[str]) -> None:
    _, place = np.unique(np.array(texts, dtype=str), return_inverse=True)
    np.testing.assert_array_equal(text_codes(texts), place)
