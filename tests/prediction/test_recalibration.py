"""New temperatures and shifts follow the outcomes, and stay put where there are none."""

from __future__ import annotations

import numpy as np

from routing_assets.prediction.calibration import fit_temperatures, scale, sigmoid
from routing_assets.prediction.recalibration import bucket_labels, fit_shifted_temperatures


def drawn(seed: int, n: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(1.0, 1.5, (n, 2)).astype(np.float32)
    return logits, (rng.random((n, 2)) < sigmoid(logits / 2 + shift)).astype(np.float32)


def chosen_only(success: np.ndarray, model: int) -> np.ndarray:
    partial = np.full_like(success, np.nan)
    partial[:, model] = success[:, model]
    return partial


def test_a_fall_of_one_model_shifts_that_model_and_no_other() -> None:
    held_out, (logits, success) = drawn(0, 1000, 0.0), drawn(1, 2000, -1.0)
    temperatures, shifts = fit_shifted_temperatures(held_out, (logits, chosen_only(success, 0)))
    assert abs(shifts[0] + 1.0) < 0.15
    assert abs(shifts[1]) < 0.2
    np.testing.assert_allclose(temperatures, 2.0, rtol=0.15)


def test_without_outcomes_it_is_the_calibration_of_the_held_out_labels() -> None:
    logits, success = drawn(2, 3000, 0.0)
    temperatures, shifts = fit_shifted_temperatures((logits, success), (logits[:0], success[:0]))
    usual = scale(logits, fit_temperatures(logits, success))
    np.testing.assert_allclose(scale(logits, temperatures, shifts), usual, atol=0.03)


def test_a_handful_of_outcomes_moves_a_model_little_and_many_move_it_all_the_way() -> None:
    held_out = drawn(3, 5000, 0.0)
    few, many = (
        fit_shifted_temperatures(held_out, (logits[:n], success[:n]))[1][0]
        for (logits, success), n in ((drawn(4, 4000, -2.0), 5), (drawn(4, 4000, -2.0), 4000))
    )
    assert -0.8 < few < 0
    assert abs(many + 2.0) < 0.2


def test_buckets_leave_old_labels_out_where_outcomes_suffice() -> None:
    old, new = np.ones((30, 2), np.float32), np.full((200, 2), np.nan, np.float32)
    new[:150, 0], new[:20, 1] = 0, 0
    kept_old, kept_new = bucket_labels(old, new)
    assert np.isnan(kept_old[:, 0]).all()
    assert (kept_old[:, 1] == 1).all()
    assert kept_new is new
