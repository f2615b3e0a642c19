from __future__ import annotations

import numpy as np
import pytest

from routing_assets.prediction.calibration.temperatures import sigmoid
from routing_assets.prediction.classifier.stacking import fit_stacking, plain_mean


def drawn(noise: float, n: int = 3_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True logits with a common and a specific part, success, and an estimate with noise on the specific part."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, (n, 1)) + rng.normal(0, 0.7, (n, 6))
    success = (rng.random((n, 6)) < sigmoid(truth)).astype(np.float32)
    return truth, success, truth + rng.normal(0, noise, (n, 6))


def test_a_noisy_specific_part_is_shrunk_and_the_common_part_is_not() -> None:
    _, success, estimate = drawn(noise=0.7)
    stacking = fit_stacking(estimate[None], success, np.ones_like(success))
    assert stacking.specific[0] == pytest.approx(0.5, abs=0.1)  # 0.7² / (0.7² + 0.7²)
    assert stacking.common[0] > 0.8


def test_an_uninformative_ensemble_gets_no_weight() -> None:
    truth, success, _ = drawn(noise=0.0)
    useless = np.random.default_rng(1).normal(0, 1, truth.shape)
    stacking = fit_stacking(np.stack([truth, useless]), success, np.ones_like(success))
    assert stacking.specific[0] == pytest.approx(1.0, abs=0.15)
    assert stacking.specific[1] == pytest.approx(0.0, abs=0.1)


def test_a_model_that_is_always_overrated_is_moved_by_its_offset() -> None:
    truth, success, _ = drawn(noise=0.0)
    truth[:, 2] += 1.0
    offset = fit_stacking(truth[None], success, np.ones_like(success)).offset
    assert offset[2] < min(offset[k] for k in range(6) if k != 2) - 0.5


def test_unlabelled_pairs_change_nothing() -> None:
    _, success, estimate = drawn(noise=0.5, n=500)
    weight = np.ones_like(success)
    weight[:100, 3] = 0
    changed = success.copy()
    changed[:100, 3] = 1 - changed[:100, 3]
    assert fit_stacking(estimate[None], success, weight) == fit_stacking(estimate[None], changed, weight)


def test_plain_mean_is_the_mean() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 4, 3))
    np.testing.assert_allclose(plain_mean(2, 3).combine(logits), logits.mean(0), atol=1e-6)
