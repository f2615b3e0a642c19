"""A panel refit is kept where the models' logits tell of each other, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from routing_assets.prediction.calibration.temperatures import log_loss
from routing_assets.prediction.panel_refit import PanelRefit, RefitTrial, try_panel_refit
from routing_assets.prediction.panel_refit.networks import CorrectionConfig

QUICK = CorrectionConfig(hidden=16, epochs=6)


def panel(n: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits of four models, each a noisy view of one difficulty; and successes, which depend on it alone."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1.5, (n, 1))
    logits = difficulty + rng.normal(0, noise, (n, 4))
    success = rng.random((n, 4)) < 1 / (1 + np.exp(-difficulty))
    return logits.astype(np.float32), success.astype(np.float32)


@pytest.fixture(scope="module")
def kept() -> RefitTrial:
    return try_panel_refit(*panel(1_500, 0, noise=1.5), np.arange(1_500), config=QUICK)


def test_it_is_kept_where_logits_tell_of_each_other_and_helps_on_new_instructions(kept: RefitTrial) -> None:
    assert kept.refit is not None
    assert kept.refit.why == kept.why
    assert kept.why.startswith("kept: ")
    logits, success = panel(2_000, 1, noise=1.5)
    assert (log_loss(kept.refit.correct(logits), success) < log_loss(logits, success) - 0.05).all()


def test_it_is_refused_where_every_model_knows_best_about_itself() -> None:
    logits, success = panel(1_500, 0, noise=0.0)
    trial = try_panel_refit(logits, success, np.arange(1_500), config=QUICK)
    assert trial.refit is None
    assert trial.logits is logits
    assert trial.why.startswith("refused: on 1500 unrelated held-out instructions it saves -")


def test_a_handful_of_unrelated_instructions_decides_nothing() -> None:
    logits, success = panel(600, 0, noise=1.5)
    trial = try_panel_refit(logits, success, np.arange(600) % 249, config=QUICK)
    assert trial.refit is None
    assert trial.why == "refused: 249 unrelated held-out instructions are too few"


def test_no_row_is_judged_or_calibrated_by_a_network_that_saw_it_or_a_related_one() -> None:
    logits, success = panel(900, 0, noise=1.5)
    copies = np.repeat(np.arange(300), 3)
    spoilt = success.copy()
    spoilt[copies == 7] = 1 - spoilt[copies == 7]
    one, other = (try_panel_refit(logits, labels, copies, config=QUICK) for labels in (success, spoilt))
    np.testing.assert_array_equal(one.logits[copies == 7], other.logits[copies == 7])
    assert (one.logits != other.logits).any()


def test_unlabelled_pairs_teach_nothing() -> None:
    logits, success = panel(600, 0, noise=1.5)
    success[::2, 1] = np.nan
    success[:, 3] = np.nan
    trial = try_panel_refit(logits, success, np.arange(600), config=QUICK)
    assert trial.refit is not None
    assert np.isfinite(trial.logits).all()


def test_a_saved_refit_is_the_same(kept: RefitTrial, tmp_path: Path) -> None:
    assert kept.refit is not None
    kept.refit.save(tmp_path)
    loaded = PanelRefit.load(tmp_path)
    assert loaded is not None
    logits, _ = panel(700, 2, noise=1.5)
    np.testing.assert_array_equal(loaded.correct(logits), kept.refit.correct(logits))
    assert (loaded.version, loaded.why, loaded.config) == (kept.refit.version, kept.why, kept.refit.config)
    assert PanelRefit.load(tmp_path / "elsewhere") is None


def test_the_bits_depend_on_the_seed_not_on_the_number_of_threads(kept: RefitTrial) -> None:
    assert kept.refit is not None
    rows = panel(1_500, 0, noise=1.5)
    fresh, _ = panel(5_000, 3, noise=1.5)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = try_panel_refit(*rows, np.arange(1_500), config=QUICK)
        assert again.refit is not None
        assert again.refit.version == kept.refit.version
        np.testing.assert_array_equal(again.refit.correct(fresh), kept.refit.correct(fresh))
    finally:
        torch.set_num_threads(threads)
    other = try_panel_refit(*rows, np.arange(1_500), seed=1, config=QUICK)
    assert other.refit is not None
    assert other.refit.version != kept.refit.version
