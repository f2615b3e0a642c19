from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.compute as pc
import pytest

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.calibration.buckets import SETTINGS
from routing_assets.prediction.calibration.temperatures import log_loss, sigmoid
from routing_assets.prediction.classifier.added_model import fit_added_model, left_out_logits
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.router import Router, RouterConfig, fit_router
from tests.benchmarks.new_model_curve import new_model_curve


@pytest.fixture(scope="module")
def panel() -> tuple[np.ndarray, np.ndarray]:
    """Logits of five models, and success of a sixth that goes with the second and is better than all."""
    rng = np.random.default_rng(0)
    logits = (rng.normal(0, 1, (4_000, 1)) + rng.normal(0, 1, (4_000, 5))).astype(np.float32)
    return logits, (rng.random(4_000) < sigmoid(1.0 + logits[:, 1])).astype(np.float32)


def test_quality_rises_with_labels_and_beats_the_rate_alone(panel: tuple[np.ndarray, np.ndarray]) -> None:
    logits, success = panel
    loss = {}
    for k in (20, 500):
        of_draws = []
        for draw in range(5):
            rows = np.random.default_rng(draw).choice(3_000, k, replace=False)
            predicted = fit_added_model("new", logits[rows], success[rows]).logits(logits[3_000:])
            of_draws.append(log_loss(predicted[:, None], success[3_000:, None])[0])
        loss[k] = np.mean(of_draws)
    rate = success.mean()
    assert loss[20] > loss[500]
    assert loss[500] < -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))


@pytest.mark.parametrize("fit", [fit_added_model, left_out_logits])
def test_few_labels_are_refused(fit: Callable[..., object], panel: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(InvalidInput, match=r"9 labels for the new model 'new'.*at least 10"):
        fit("new", panel[0][:9], panel[1][:9])


@pytest.mark.parametrize("labels", [10, 11, 12])
def test_as_many_labels_as_are_asked_for_suffice(labels: int, panel: tuple[np.ndarray, np.ndarray]) -> None:
    logits, success = panel[0][:labels], panel[1][:labels]
    assert fit_added_model("new", logits, success).labels == labels
    assert np.isfinite(left_out_logits("new", logits, success)).all()


def test_unlabelled_rows_are_left_out(panel: tuple[np.ndarray, np.ndarray]) -> None:
    logits, success = panel[0][:60], panel[1][:60].copy()
    success[50:] = np.nan
    assert fit_added_model("new", logits, success) == fit_added_model("new", logits[:50], success[:50])


def test_a_left_out_logit_does_not_depend_on_its_own_label(panel: tuple[np.ndarray, np.ndarray]) -> None:
    logits, success = panel[0][:60], panel[1][:60].copy()
    success[50:] = np.nan
    before = left_out_logits("new", logits, success)
    success[0] = 1 - success[0]
    after = left_out_logits("new", logits, success)
    assert after[0] == before[0]
    assert (after != before).sum() > 40
    np.testing.assert_array_equal(after[50:], fit_added_model("new", logits, success).logits(logits)[50:])


def test_router_with_a_new_model_keeps_the_others_and_can_be_saved(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, tmp_path: Path
) -> None:
    router = fit_router(labels, split, RouterConfig(config), embeddings_cache=tmp_path / "cache")
    few = labels.take(split.calibration)
    panel = router.classifier.panel_logits(few.instruction)
    joined = router.with_new_model("twin of likes", panel, few.success[:, 0])
    joined.save(tmp_path / "router")
    loaded = Router.load(tmp_path / "router", embeddings_cache=tmp_path / "cache")
    before, after = router.predict(labels.instruction), loaded.predict(labels.instruction)
    assert loaded.models == (*labels.models, "twin of likes")
    np.testing.assert_array_equal(after.decision[:, :3], before.decision)
    assert np.corrcoef(after.decision[:, 3], before.decision[:, 0])[0, 1] > 0.8
    assert np.ptp(after.calibrated[:, 3]) < np.ptp(after.scaled[:, 3])
    again = loaded.with_new_model("twin of likes", panel, few.success[:, 1])
    assert again.models == loaded.models
    count = again.buckets.filter(pc.equal(again.buckets["model"], "twin of likes"))["count"]
    assert sum(count.to_pylist()) == (~np.isnan(few.success[:, 1])).sum()
    assert (again.predict(labels.instruction).decision[:, 3] != after.decision[:, 3]).any()
    with pytest.raises(InvalidInput, match="already knows the model 'coin'"):
        router.with_new_model("coin", panel, few.success[:, 0])


def test_buckets_of_a_new_model_have_the_settings_of_the_others(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, tmp_path: Path
) -> None:
    router = fit_router(labels, split, RouterConfig(config), embeddings_cache=tmp_path / "cache")
    settings = {SETTINGS: b'{"buckets": 3, "equal_width": true}'}
    router = replace(router, buckets=router.buckets.replace_schema_metadata(settings))
    panel = router.classifier.panel_logits(labels.instruction)
    joined = router.with_new_model("twin of likes", panel, labels.success[:, 0])
    new = joined.buckets.filter(pc.equal(joined.buckets["model"], "twin of likes"))
    assert {0.0, *new["lower"].to_pylist()} <= {0.0, 1 / 3, 2 / 3}
    assert new.num_rows > 1
    assert joined.buckets.schema.metadata == settings


def test_curve_has_a_row_for_every_model_size_and_draw(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, tmp_path: Path
) -> None:
    rows = new_model_curve(
        labels,
        split.train,
        split.validation,
        split.test,
        config,
        models=["likes"],
        sizes=(20, 100, 10_000),
        draws=2,
        embeddings_cache=tmp_path,
    ).to_pylist()
    assert [(row["model"], row["labels"], row["draw"]) for row in rows] == [
        ("likes", k, d) for k in (20, 100) for d in (0, 1)
    ]
    assert np.mean([row["log_loss"] for row in rows[2:]]) < np.mean([row["rate_log_loss"] for row in rows[2:]])
