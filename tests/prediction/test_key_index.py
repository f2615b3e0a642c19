from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.prediction.encoder import key_index
from routing_assets.prediction.encoder.key_index import KEY_BYTES, UNKNOWN, KeyIndex

KEYS = st.builds(lambda head, tail: bytes([head] * 8 + [tail] * 24), st.sampled_from([0, 7, 255]), st.integers(0, 5))
"""Few keys, many of which begin alike."""


def array(keys: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)


@given(st.lists(st.lists(st.lists(KEYS, max_size=9), max_size=3), max_size=8), st.lists(KEYS, max_size=20))
def test_index_finds_what_a_dictionary_finds_even_where_keys_begin_alike(
    additions: list[list[list[bytes]]], sought: list[bytes]
) -> None:
    kept: list[bytes] = []
    known: dict[bytes, int] = {}
    index = KeyIndex(lambda rows: array([kept[row] for row in rows]))
    for blocks in additions:
        first = len(kept) + np.cumsum([0, *map(len, blocks)])[:-1]
        assert index.add(array(block) for block in blocks) == first.tolist()
        for key in (key for block in blocks for key in block):
            known[key] = len(kept)
            kept.append(key)
        assert index.find(array(sought)).tolist() == [known.get(key, UNKNOWN) for key in sought]


@pytest.mark.parametrize("most_joined", [1_000, key_index.MOST_JOINED])
def test_random_keys_are_found_after_many_additions_of_many_sizes(
    most_joined: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_index, "MOST_JOINED", most_joined)
    random = np.random.default_rng(0)
    kept = random.integers(0, 256, (20_000, KEY_BYTES), dtype=np.uint8)
    index = KeyIndex(lambda rows: kept[rows])
    ends = np.sort(random.integers(0, len(kept), 60))
    blocks = np.split(kept, ends)
    for block in blocks[:40]:
        index.add([block])
    index.add(blocks[40:])
    shuffled = random.permutation(len(kept))
    np.testing.assert_array_equal(index.find(kept[shuffled]), shuffled)
    unknown = random.integers(0, 256, (1_000, KEY_BYTES), dtype=np.uint8)
    assert (index.find(unknown) == UNKNOWN).all()
