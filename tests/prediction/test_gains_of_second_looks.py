"""Where second looks pay: one rule for a training and an evaluation."""

from types import SimpleNamespace

import numpy as np
import pytest

from routing_assets.prediction.second_look import (
    Gain,
    KeptSecondLook,
    TriedRounds,
    judge_gains,
    second_look_verdict,
)
from routing_assets.prediction.second_look.gain import LEAST_UNRELATED

FRACTIONS = np.linspace(0.1, 1.0, 14)


def tried(gain, n, seed) -> TriedRounds:
    """n instructions on which two rounds succeed ``gain`` (F,) more often than one call."""
    rng = np.random.default_rng(seed)
    once, twice = (rng.random((14, n)) < rate[:, None] for rate in (np.full(14, 0.6), 0.6 + np.asarray(gain)))
    return TriedRounds(twice.astype(float) - once, np.arange(n))


def said(gains) -> str:
    tells = SimpleNamespace(first="small", tells=False), SimpleNamespace(first="large", tells=True)
    return second_look_verdict(gains, [tells, tells[::-1]]).text


def test_few_rows_decide_nothing_however_large_the_gain():
    few = judge_gains(FRACTIONS, [tried(np.full(14, 0.3), LEAST_UNRELATED - 1, 0)])
    assert {gain.answer for gain in few} == {"too few rows to tell"}
    assert "Too few rows to tell" in said(few)
    assert all(gain.pays for gain in judge_gains(FRACTIONS, [tried(np.full(14, 0.3), LEAST_UNRELATED, 0)]))


def test_of_many_budgets_none_pays_by_luck():
    claims = sum(
        any(gain.pays for gain in judge_gains(FRACTIONS, [tried(np.zeros(14), 400, seed)])) for seed in range(100)
    )
    assert claims <= 7  # one in forty is wrong by promise; pointwise intervals claim in every fourth


def test_it_pays_where_it_gains_and_only_there():
    gains = judge_gains(FRACTIONS, [tried(np.where(FRACTIONS > 0.5, 0.1, 0.0), 3000, 1)])
    np.testing.assert_allclose([gain.budget_fraction for gain in gains if gain.pays], FRACTIONS[FRACTIONS > 0.5])
    kept = KeptSecondLook("", None, gains)  # type: ignore[arg-type]
    assert kept.gain_at(0.8).pays
    assert kept.gain_at(1.5) == gains[-1]
    assert not kept.gain_at(0.3).pays
    assert not kept.gain_at(0.5).pays  # it pays on one side alone
    assert kept.gain_at(0.01) is None


def test_a_gain_of_nothing_is_told_from_a_lack_of_rows():
    none = judge_gains(FRACTIONS, [TriedRounds(np.zeros((14, 400)), np.arange(400))])
    assert {gain.answer for gain in none} == {"does not pay"}
    assert "at every budget it gains less than half a point" in said(none)
    assert "Too few rows to tell" in said(judge_gains(FRACTIONS, [tried(np.zeros(14), 400, 2)]))


def test_copies_of_an_instruction_and_other_splits_of_it_are_no_further_evidence():
    once = tried(np.full(14, 0.1), 400, 3)
    copies = TriedRounds(np.repeat(once.gain, 5, axis=1), np.repeat(once.component, 5))
    for same in ([copies], [once] * 5):
        for alone, gain in zip(judge_gains(FRACTIONS, [once]), judge_gains(FRACTIONS, same), strict=True):
            assert (gain.gain, gain.lower) == pytest.approx((alone.gain, alone.lower))
            assert gain.unrelated == alone.unrelated == 400


def test_splits_that_disagree_widen_the_interval():
    agree = judge_gains(FRACTIONS, [tried(np.full(14, 0.1), 2000, seed) for seed in (4, 5)])
    differ = judge_gains(FRACTIONS, [tried(np.full(14, 0.1 + off), 2000, 6) for off in (-0.1, 0.1)])
    assert all(a.upper - a.lower < d.upper - d.lower for a, d in zip(agree, differ, strict=True))


def test_what_is_not_known_counts_for_nothing():
    gain = np.full((2, 600), np.nan)
    gain[1, :300] = 0.2
    assert judge_gains([0.1, 0.5], [TriedRounds(gain, np.arange(600))]) == (
        Gain(0.5, pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.2), 300),
    )
    assert judge_gains([0.1, 0.5], [TriedRounds(gain[:, 300:], np.arange(300))]) == ()
