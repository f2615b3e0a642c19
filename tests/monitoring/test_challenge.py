from __future__ import annotations

import numpy as np
import pytest

from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring import beats


def losses(seed: int, n: int = 2000, better: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    row = rng.gamma(2, 0.1, n)
    return row + rng.normal(0, 0.02, n), row - better + rng.normal(0, 0.02, n)


def test_a_better_challenger_takes_over_and_an_equal_one_hardly_ever() -> None:
    assert all(beats(*losses(seed, 1000, better=0.004), seed=seed).takes_over for seed in range(10))
    assert sum(beats(*losses(seed, 300), seed=seed).takes_over for seed in range(60)) <= 6
    worse = beats(*losses(0, better=-0.004))
    assert not worse.takes_over
    assert "the champion stays" in worse.why


def test_a_stale_champion_yields_to_an_equal_but_not_to_a_worse_one() -> None:
    equal = beats(*losses(1, better=-0.0002), champion_is_stale=True)
    assert equal.takes_over
    assert not beats(*losses(1, better=-0.0002)).takes_over
    assert not beats(*losses(1, better=-0.02), champion_is_stale=True).takes_over
    assert not beats(*losses(1, 60, better=0.0), champion_is_stale=True, margin=0.0001).takes_over


def test_the_bound_is_below_the_improvement_and_pairing_makes_it_tight() -> None:
    champion, challenger = losses(2, better=0.004)
    paired = beats(champion, challenger)
    unpaired = beats(champion, np.random.default_rng(0).permutation(challenger))
    assert paired.lower < paired.improvement == pytest.approx(0.004, abs=0.002)
    assert paired.improvement - paired.lower < 0.25 * (unpaired.improvement - unpaired.lower)


def test_copies_are_no_further_evidence() -> None:
    champion, challenger = losses(3, 40, better=0.003)
    alone = beats(champion, challenger)
    copied = beats(np.tile(champion, 50), np.tile(challenger, 50), group=np.tile(np.arange(40), 50))
    assert copied.lower == pytest.approx(alone.lower, rel=0.1)
    assert beats(np.tile(champion, 50), np.tile(challenger, 50)).lower > alone.lower


def test_bad_comparisons_are_refused() -> None:
    champion, challenger = losses(0, 100)
    with pytest.raises(InvalidInput, match="shapes"):
        beats(champion, challenger[:-1])
    with pytest.raises(InvalidInput, match="missing or infinite"):
        beats(champion, np.where(np.arange(100) == 3, np.nan, challenger))
    with pytest.raises(InvalidInput, match="too few"):
        beats(champion, challenger, group=np.arange(100) // 10)
