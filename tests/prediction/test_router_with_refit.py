"""A router whose panel refit is kept is saved, extended and assembled with it; another one is what it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.splits import Split
from routing_assets.foundation.long_table import about
from routing_assets.prediction.calibration.temperatures import scale
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.panel_refit import refit as panel_refit
from routing_assets.prediction.router import Router, RouterConfig, calibrated_router, calibration_data, fit_router
from routing_assets.routers import train as router_steps
from routing_assets.routers.shelf import Shelf, load_router

STEPS = ("raw", "scaled", "calibrated", "decision")


@pytest.fixture(scope="module", autouse=True)
def few_rows_are_enough() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panel_refit, "LEAST_COMPONENTS", 20)
        yield


def kept_whatever_it_saves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(panel_refit, "STANDARD_ERRORS", -np.inf)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture
def corrected(labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path) -> Router:
    with pytest.MonkeyPatch.context() as patch:
        kept_whatever_it_saves(patch)
        return fit_router(labels, split, RouterConfig(config), embeddings_cache=cache)


def test_it_is_calibrated_by_rows_that_its_networks_had_not_seen(
    corrected: Router, labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig
) -> None:
    assert corrected.refit is not None
    logits, success, component = calibration_data(corrected.classifier, labels, split)
    unseen = corrected.refit.correct_unseen(logits, component)
    assert (unseen != corrected.refit.correct(logits)).any()
    again = calibrated_router(corrected.classifier, corrected.refit, unseen, success, component, RouterConfig(config))
    np.testing.assert_array_equal(again.temperatures, corrected.temperatures)
    assert again.buckets.equals(corrected.buckets)
    logits = corrected.classifier.logits(labels.instruction)
    expected = scale(corrected.refit.correct(logits), corrected.temperatures)
    np.testing.assert_array_equal(corrected.predict(labels.instruction).scaled, expected)


def test_a_saved_router_predicts_the_same(
    corrected: Router, labels: LabelledInstructions, cache: Path, tmp_path: Path
) -> None:
    corrected.save(tmp_path)
    loaded = Router.load(tmp_path, embeddings_cache=cache)
    before, after = corrected.predict(labels.instruction), loaded.predict(labels.instruction)
    for step in STEPS:
        np.testing.assert_array_equal(getattr(before, step), getattr(after, step))


def test_an_added_model_is_not_corrected_and_changes_nothing_for_the_others(
    corrected: Router, labels: LabelledInstructions, split: SimpleNamespace, cache: Path, tmp_path: Path
) -> None:
    few = labels.take(split.calibration)
    joined = corrected.with_new_model("new", corrected.classifier.panel_logits(few.instruction), few.success[:, 0])
    joined.save(tmp_path)
    joined = Router.load(tmp_path, embeddings_cache=cache)
    before, after = corrected.predict(labels.instruction), joined.predict(labels.instruction)
    np.testing.assert_array_equal(after.decision[:, :3], before.decision)
    np.testing.assert_allclose(after.scaled[:, 3], after.raw[:, 3], atol=1e-6)  # its temperature is 1


def test_a_router_whose_refit_is_refused_is_what_it_was(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panel_refit, "STANDARD_ERRORS", np.inf)
        router = fit_router(labels, split, RouterConfig(config), embeddings_cache=cache)
    known = calibration_data(router.classifier, labels, split)
    calibrated_router(router.classifier, None, *known, RouterConfig(config)).save(tmp_path / "plain")
    router.save(tmp_path / "refused")
    files = {path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.*")}
    assert files == {path.relative_to(tmp_path / "refused") for path in (tmp_path / "refused").rglob("*.*")}
    assert "panel_refit.json" not in {file.name for file in files}
    for file in files:
        assert (tmp_path / "plain" / file).read_bytes() == (tmp_path / "refused" / file).read_bytes()
    assert Router.load(tmp_path / "plain", embeddings_cache=cache).refit is None


@pytest.mark.parametrize("keeps", [True, False])
def test_the_steps_of_the_assets_make_the_router_of_fit_router(
    keeps: bool,
    labels: LabelledInstructions,
    split: SimpleNamespace,
    config: ClassifierConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(panel_refit, "STANDARD_ERRORS", -np.inf if keeps else np.inf)
    parts, shelf = Split(**vars(split)), Shelf(tmp_path / "routers", tmp_path / "embeddings")
    config = replace(config, training=replace(config.training, seed=3))
    fitted = fit_router(labels, parts, RouterConfig(config), embeddings_cache=shelf.embeddings)
    fitted.classifier.save(shelf.folder / "classifiers" / "it")
    record = {"classifier_id": "it", "label_hash": labels.content_hash}
    logits = router_steps.held_out_logits(shelf, record, labels, parts)
    corrected = router_steps.panel_refit(shelf, record, logits, labels.models)
    assert corrected["logit"].equals(logits["logit"]) != keeps
    assert about(corrected)["why"].startswith("kept" if keeps else "refused")
    temperatures = router_steps.temperatures(corrected, labels.models)
    temperatures = temperatures.append_column("temperatures_id", [["t"] * 3])
    buckets = router_steps.buckets(corrected, temperatures, {})
    buckets = buckets.append_column("buckets_id", [["b"] * buckets.num_rows])
    assembled = router_steps.assemble(shelf, record, corrected, temperatures, buckets, labels, parts, "auto")
    assert ("refit_id" in assembled.record) == keeps
    released = load_router(shelf, assembled.record["router_version"])
    assert (released.refit is not None) == keeps
    ours, theirs = (router.predict(labels.instruction) for router in (released, fitted))
    for step in STEPS:
        np.testing.assert_array_equal(getattr(ours, step), getattr(theirs, step))
