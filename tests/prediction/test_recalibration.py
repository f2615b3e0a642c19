"""New temperatures, shifts and buckets follow the outcomes, and stay put where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from routing_assets.foundation.long_table import long_table
from routing_assets.prediction.calibration.buckets import CalibrationConfig, apply_buckets, fit_buckets
from routing_assets.prediction.calibration.recalibration import (
    enough_for_buckets,
    fit_shifted_temperatures,
    recount_buckets,
)
from routing_assets.prediction.calibration.temperatures import fit_temperatures, log_loss, scale, sigmoid
from routing_assets.routers.train import buckets, temperatures

NOW = np.array([2.0, 2.0])


def drawn(seed: int, n: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(1.0, 1.5, (n, 2)).astype(np.float32)
    return logits, (rng.random((n, 2)) < sigmoid(logits / 2 + shift)).astype(np.float32)


def chosen_only(success: np.ndarray, model: int) -> np.ndarray:
    partial = np.full_like(success, np.nan)
    partial[:, model] = success[:, model]
    return partial


def test_a_fall_of_one_model_shifts_that_model_and_leaves_the_other_alone() -> None:
    logits, success = drawn(1, 2000, -1.0)
    before = np.array([0.1, 0.3])
    fitted, shifts = fit_shifted_temperatures(logits, chosen_only(success, 0), NOW, before)
    assert abs(shifts[0] + 1.0) < 0.15
    assert abs(fitted[0] - 2.0) < 0.3
    assert (fitted[1], shifts[1]) == (2.0, 0.3)
    assert before[0] == 0.1


def test_without_outcomes_everything_is_kept() -> None:
    logits, success = drawn(2, 0, 0.0)
    fitted, shifts = fit_shifted_temperatures(logits, success, NOW)
    np.testing.assert_array_equal(fitted, NOW)
    np.testing.assert_array_equal(shifts, [0, 0])


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_a_dozen_outcomes_that_agree_give_no_certainty(outcome: float) -> None:
    logits, success = drawn(3, 12, 0.0)
    fitted, shifts = fit_shifted_temperatures(logits, np.full_like(success, outcome), NOW)
    before, after = sigmoid(logits / NOW), scale(logits, fitted, shifts)
    assert (np.abs(after - before) < 0.25).all()
    assert ((after > before) == (outcome == 1.0)).all()


def test_a_handful_of_outcomes_moves_a_model_little_and_many_move_it_all_the_way() -> None:
    few, many = (
        fit_shifted_temperatures(logits[:n], success[:n], NOW)[1][0]
        for (logits, success), n in ((drawn(4, 4000, -2.0), 5), (drawn(4, 4000, -2.0), 4000))
    )
    assert -0.8 < few < 0
    assert abs(many + 2.0) < 0.2


def test_outcomes_mend_a_drift_and_do_no_harm_without_one() -> None:
    """Mean log-loss on fresh rows of the same world, over ten draws, against the temperatures of 1,000 labels."""
    gain: dict[tuple[float, int], list[float]] = {}
    for seed in range(10):
        held_out, fresh = drawn(100 + seed, 1000, 0.0), 200 + seed
        now = fit_temperatures(*held_out)
        for shift in (0.0, -1.0):
            logits, success = drawn(300 + seed, 500, shift)
            judged, its_success = drawn(fresh, 4000, shift)
            before = log_loss(judged / now, its_success).mean()
            for n in (20, 500):
                fitted, shifts = fit_shifted_temperatures(logits[:n], success[:n], now)
                after = log_loss(judged / fitted + shifts, its_success).mean()
                gain.setdefault((shift, n), []).append(before - after)
    means = {case: np.mean(values) for case, values in gain.items()}
    assert min(means[0.0, 20], means[0.0, 500]) > -0.005
    assert 0.02 < means[-1.0, 20] < means[-1.0, 500]
    assert means[-1.0, 500] > 0.1


def test_buckets_are_counted_anew_where_outcomes_suffice_and_kept_elsewhere() -> None:
    logits, success = drawn(5, 1000, 0.0)
    before = fit_buckets(scale(logits, NOW), success, ("a", "b"))
    outcomes = np.full((200, 2), np.nan, np.float32)
    outcomes[:150, 0], outcomes[150:, 1] = 0, 0
    probability = scale(logits[:200], NOW)
    after = recount_buckets(before, probability, enough_for_buckets(outcomes), ("a", "b"))
    assert apply_buckets(probability, after)[:, 0].max() == 0
    np.testing.assert_array_equal(apply_buckets(probability, after)[:, 1], apply_buckets(probability, before)[:, 1])
    none = recount_buckets(before, probability, np.full_like(outcomes, np.nan), ("a", "b"))
    np.testing.assert_array_equal(apply_buckets(probability, none), apply_buckets(probability, before))


def test_recounted_buckets_keep_their_settings(tmp_path: Path) -> None:
    """After repeated recounts, each of a table read from a file."""
    logits, success = drawn(6, 800, 0.0)
    pairs = long_table(np.arange(800).astype(str), ("a", "b"), {"logit": logits, "success": success}, about={})
    settings = {"buckets": 8, "equal_width": True, "monotone": True, "smoothing": 5.0}
    once = buckets(pairs, temperatures(pairs, ("a", "b")), settings)
    for new in drawn(7, 600, -1.0), drawn(8, 700, 1.0):
        pq.write_table(once, tmp_path / "buckets.parquet")
        once = recount_buckets(pq.read_table(tmp_path / "buckets.parquet"), sigmoid(new[0]), new[1], ("a", "b"))
        wanted = fit_buckets(sigmoid(new[0]), new[1], ("a", "b"), CalibrationConfig(**settings))
        assert once.to_pylist() == wanted.to_pylist()
