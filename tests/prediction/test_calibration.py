from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from routing_assets.prediction.calibration.buckets import CalibrationConfig, apply_buckets, fit_buckets
from routing_assets.prediction.calibration.quality import calibration_metrics, reliability
from routing_assets.prediction.calibration.temperatures import fit_temperatures, scale, sigmoid

EXACT = {"smoothing": 0.0, "min_count": 1}


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def drawn(temperature: float, n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 1)).astype(np.float32)
    return logits, (rng.random((n, 1)) < sigmoid(logits / temperature)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_is_recovered(temperature: float) -> None:
    assert fit_temperatures(*drawn(temperature))[0] == pytest.approx(temperature, rel=0.06)


def test_temperature_is_the_most_likely_one() -> None:
    logits, success = drawn(1.7, n=500)
    fitted = fit_temperatures(logits, success, prior=0.0)[0]
    losses = {t: log_loss(success[:, 0], sigmoid(logits / t)[:, 0]) for t in (fitted * 0.98, fitted, fitted * 1.02)}
    assert min(losses, key=losses.__getitem__) == fitted


def test_missing_labels_do_not_count_and_an_unlabelled_model_gets_the_shared_temperature() -> None:
    logits, success = drawn(2.0, n=2_000)
    extra = np.full((50, 1), np.nan, dtype=np.float32)
    more = np.concatenate([logits, np.full((50, 1), 9, dtype=np.float32)]), np.concatenate([success, extra])
    np.testing.assert_allclose(fit_temperatures(*more), fit_temperatures(logits, success))
    both = fit_temperatures(np.tile(logits, 2), np.concatenate([success, np.full_like(success, np.nan)], axis=1))
    assert both[1] == pytest.approx(both[0], rel=1e-3)


def test_buckets_by_hand() -> None:
    probability, success = column(0.1, 0.2, 0.3, 0.7, 0.8, 0.9), column(0, 0, 1, 1, 0, 1)
    table = fit_buckets(probability, success, ["m"], CalibrationConfig(buckets=2, min_count=3, smoothing=2.0))
    rows = table.to_pylist()
    assert [row["count"] for row in rows] == [3, 3]
    assert [row["lower"] for row in rows] == pytest.approx([0.0, 0.7])
    assert [row["upper"] for row in rows] == pytest.approx([0.7, 1.0])
    assert [row["observed_rate"] for row in rows] == pytest.approx([1 / 3, 2 / 3])
    assert [row["calibrated"] for row in rows] == pytest.approx([(1 + 2 * 0.5) / 5, (2 + 2 * 0.5) / 5])
    # Wilson 1927, n = 3, p = 1/3, z = 1.96
    assert rows[0]["wilson_lower"] == pytest.approx(0.0615, abs=1e-3)
    assert rows[0]["wilson_upper"] == pytest.approx(0.7923, abs=1e-3)
    np.testing.assert_allclose(apply_buckets(column(0.0, 0.69, 0.7, 1.0), table)[:, 0], [0.4, 0.4, 0.6, 0.6])


def test_thin_calibration_data_gets_fewer_buckets() -> None:
    probability, success = drawn(1.0, n=120)
    counts = fit_buckets(sigmoid(probability), success, ["m"], CalibrationConfig(min_count=50))["count"].to_pylist()
    assert counts == [60, 60]


def test_equal_width_buckets_have_round_edges() -> None:
    logits, success = drawn(1.0, n=2_000)
    config = CalibrationConfig(buckets=4, equal_width=True)
    assert fit_buckets(sigmoid(logits), success, ["m"], config)["lower"].to_pylist() == [0, 0.25, 0.5, 0.75]


@settings(max_examples=settings().max_examples // 5)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40), st.booleans())
def test_every_label_is_counted_once_and_equal_probabilities_share_a_bucket(
    pairs: list[tuple[int, bool]], equal_width: bool
) -> None:
    probability = column(*(p / 8 for p, _ in pairs))
    success = column(*(float(s) for _, s in pairs))
    config = CalibrationConfig(buckets=5, equal_width=equal_width, **EXACT)
    table = fit_buckets(probability, success, ["m"], config)
    assert sum(table["count"].to_pylist()) == len(pairs)
    assert table["lower"][0].as_py() == 0
    assert table["upper"].to_pylist() == [*table["lower"].to_pylist()[1:], 1]
    applied = apply_buckets(probability, table, "bucket")[:, 0]
    observed = apply_buckets(probability, table, "observed_rate")[:, 0]
    for bucket in np.unique(applied):
        assert success[applied == bucket].mean() == pytest.approx(observed[applied == bucket][0], abs=1e-6)


def test_monotone_buckets_are_isotonic_regression() -> None:
    rng = np.random.default_rng(3)
    probability = np.sort(rng.random((60, 1)), axis=0).astype(np.float32)
    success = (rng.random((60, 1)) < 0.5).astype(np.float32)
    plain = fit_buckets(probability, success, ["m"], CalibrationConfig(buckets=12, **EXACT))
    monotone = fit_buckets(probability, success, ["m"], CalibrationConfig(buckets=12, monotone=True, **EXACT))
    rate, count = plain["observed_rate"].to_numpy(), plain["count"].to_numpy()
    expected = IsotonicRegression().fit_transform(np.arange(len(rate)), rate, sample_weight=count)
    np.testing.assert_allclose(monotone["calibrated"].to_numpy(), expected, atol=1e-9)


def test_metrics_agree_with_scikit_learn() -> None:
    logits, success = drawn(1.5, n=400)
    probability = np.round(sigmoid(logits), 1)
    row = calibration_metrics(probability, success, ["m"]).to_pylist()[0]
    clipped = np.clip(probability[:, 0].astype(float), 1e-7, 1 - 1e-7)
    assert row["auc"] == pytest.approx(roc_auc_score(success[:, 0], probability[:, 0]))
    assert row["brier"] == pytest.approx(brier_score_loss(success[:, 0], clipped), abs=1e-6)
    assert row["log_loss"] == pytest.approx(log_loss(success[:, 0], clipped), abs=1e-6)


def test_expected_calibration_error_by_hand() -> None:
    # two bins of two: |0.5 - 0.15| and |0.5 - 0.7|
    row = calibration_metrics(column(0.1, 0.2, 0.6, 0.8), column(1, 0, 1, 0), ["m"], bins=2).to_pylist()[0]
    assert row["ece"] == pytest.approx((0.35 + 0.2) / 2, abs=1e-6)


def test_calibrated_model_has_the_error_of_its_floor_and_no_more() -> None:
    errors = []
    for seed in range(12):
        logits, success = drawn(1.0, n=2_000, seed=seed)
        row = calibration_metrics(sigmoid(logits), success, ["m"]).to_pylist()[0]
        errors.append(row["ece"] / row["ece_floor"])
    assert np.mean(errors) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("case", ["copies", "in part"])
def test_floor_of_the_calibration_error_holds_for_copies_and_fractional_successes(case: str) -> None:
    errors, component = [], np.arange(900)
    for seed in range(40):
        logits, success = drawn(1.0, n=900, seed=seed)
        if case == "copies":
            component = np.repeat(np.arange(900), np.arange(900) % 3 + 1)
            logits, success = logits[component], success[component]
        else:
            success = (success + 3 * sigmoid(logits)) / 4
        row = calibration_metrics(sigmoid(logits), success, ["m"], component=component).to_pylist()[0]
        errors.append(row["ece"] / row["ece_floor"])
    assert np.mean(errors) == pytest.approx(1.0, abs=0.1)


def test_one_class_only_has_no_auc() -> None:
    assert calibration_metrics(column(0.1, 0.9), column(1, 1), ["m"])["auc"].to_pylist() == [None]


def test_reliability_points_by_hand() -> None:
    rows = reliability(column(0.05, 0.95, 0.97), column(0, 1, 0), ["m"], bins=10).to_pylist()
    assert [(r["lower"], r["count"], r["observed_rate"]) for r in rows] == [(0.0, 1, 0.0), (0.9, 2, 0.5)]


def test_calibration_repairs_overconfident_logits() -> None:
    logits, success = drawn(3.0, n=4_000)
    scaled = scale(logits, fit_temperatures(logits, success))
    before = calibration_metrics(sigmoid(logits), success, ["m"])["ece"][0].as_py()
    after = calibration_metrics(scaled, success, ["m"])["ece"][0].as_py()
    assert after < 0.25 * before
