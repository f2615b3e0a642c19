import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.datasets.splits import Split, SplitFractions, leaks, split_instructions
from routing_assets.foundation.errors import InvalidInput


def texts(n: int) -> np.ndarray:
    return np.array([f"instruction {i}" for i in range(n)], dtype=object)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 6), min_size=4, max_size=120))
def test_every_row_is_in_one_part_and_relatives_stay_together(seed, copies):
    instruction = np.repeat(texts(len(copies)), copies)
    split = split_instructions(instruction, seed=seed)
    rows = np.concatenate([rows for _, rows in split.parts()])
    assert sorted(rows) == list(range(len(instruction)))
    assert all(len(rows) for _, rows in split.parts())
    assert leaks(split, instruction).size == 0


def test_sizes_are_exact_without_groups_and_close_with_copies():
    split = split_instructions(texts(1000), seed=3)
    assert [len(rows) for _, rows in split.parts()] == [700, 50, 50, 200]
    copies = np.random.default_rng(0).integers(1, 7, 600)
    instruction = np.repeat(texts(600), copies)
    shares = np.array([len(rows) for _, rows in split_instructions(instruction, seed=3).parts()]) / len(instruction)
    np.testing.assert_allclose(shares, [0.70, 0.05, 0.05, 0.20], atol=0.003)


def test_big_groups_leave_the_sizes_close():
    group = np.array(["big"] * 180 + ["middle"] * 60 + [""] * 760, dtype=object)
    for seed in range(20):
        split = split_instructions(texts(1000), group, seed=seed)
        shares = [len(rows) / 1000 for _, rows in split.parts()]
        np.testing.assert_allclose(shares, [0.70, 0.05, 0.05, 0.20], atol=0.005)


def test_copies_are_as_frequent_in_test_as_elsewhere():
    copies = np.array([1] * 600 + [5] * 100)
    instruction = np.repeat(texts(700), copies)
    copied = np.repeat(copies, copies) == 5
    share = [copied[split_instructions(instruction, seed=seed).test].mean() for seed in range(30)]
    assert np.mean(share) == pytest.approx(copied.mean(), abs=0.03)


@pytest.mark.parametrize("planted", ["instruction 0", "  Instruction\n0 ", "ＩＮＳＴＲＵＣＴＩＯＮ 0"])
def test_a_planted_duplicate_never_straddles(planted):
    instruction = np.append(texts(99), planted)
    for seed in range(40):
        part = split_instructions(instruction, seed=seed).names()
        assert part[0] == part[99]


def test_text_and_group_relate_transitively():
    instruction = np.append(texts(99), "instruction 0").astype(object)
    group = np.array([None] * 98 + ["g", "g"], dtype=object)  # row 98 ~ row 99 (group) ~ row 0 (text)
    for seed in range(40):
        part = split_instructions(instruction, group, seed=seed).names()
        assert part[0] == part[98] == part[99]


def test_leaks_names_the_rows_that_straddle():
    instruction = np.array(["a", "b", "c", "d", "A ", "e"], dtype=object)
    split = Split(train=np.array([0, 1]), validation=np.array([2]), calibration=np.array([3]), test=np.array([4, 5]))
    np.testing.assert_array_equal(leaks(split, instruction), [0, 4])
    np.testing.assert_array_equal(leaks(split, texts(6), np.array([None, "g", "g", "", "", np.nan], object)), [1, 2])


def test_a_row_in_two_parts_leaks():
    split = Split(train=np.array([0, 1]), validation=np.array([2]), calibration=np.array([3]), test=np.array([1]))
    np.testing.assert_array_equal(leaks(split, texts(4)), [1])


def test_same_seed_same_split_and_other_seed_another():
    first, again, other = (split_instructions(texts(200), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_too_few_unrelated_texts_is_refused_by_name():
    with pytest.raises(InvalidInput, match=r"only 3 unrelated texts.*empty.*Label more"):
        split_instructions(np.array(["a", "b", "c", "c", "C"], dtype=object), seed=0)


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.1, 0.2), (0.8, 0.0, 0.0, 0.2), (1.2, -0.1, -0.2, 0.1)])
def test_fractions_must_be_positive_and_sum_to_one(fractions):
    with pytest.raises(InvalidInput, match="sum to 1"):
        SplitFractions(*fractions)
