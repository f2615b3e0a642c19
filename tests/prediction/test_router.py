from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.calibration.buckets import CalibrationConfig
from routing_assets.prediction.calibration.quality import calibration_metrics
from routing_assets.prediction.classifier.classifier import SuccessClassifier
from routing_assets.prediction.classifier.config import ClassifierConfig, resolve, with_enough_steps
from routing_assets.prediction.classifier.train import train_classifier
from routing_assets.prediction.router import Router, RouterConfig, calibration_data, fit_router

STEPS = ("raw", "scaled", "calibrated", "decision")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture
def router(labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path) -> Router:
    calibration = CalibrationConfig(min_count=20)
    return fit_router(labels, split, RouterConfig(config, calibration), embeddings_cache=cache)


def test_router_learns_which_model_likes_the_text(
    router: Router, labels: LabelledInstructions, split: SimpleNamespace
) -> None:
    test = labels.take(split.test)
    predicted = router.predict(test.instruction)
    auc = calibration_metrics(predicted.scaled, test.success, labels.models)["auc"].to_pylist()
    assert min(auc[:2]) > 0.7
    for step in STEPS:
        matrix = getattr(predicted, step)
        assert matrix.shape == test.success.shape
        assert matrix.dtype == np.float32
        assert ((matrix >= 0) & (matrix <= 1)).all()


@pytest.mark.parametrize("method", ["frozen", "upper_layers", "finetune"])
def test_saved_router_predicts_the_same(
    method: str,
    labels: LabelledInstructions,
    split: SimpleNamespace,
    config: ClassifierConfig,
    cache: Path,
    tmp_path: Path,
) -> None:
    config = replace(config, method=method)  # type: ignore[arg-type]
    router = fit_router(labels, split, RouterConfig(config), embeddings_cache=cache)
    router.save(tmp_path)
    loaded = Router.load(tmp_path, embeddings_cache=cache)
    before, after = router.predict(labels.instruction), loaded.predict(labels.instruction)
    for step in STEPS:
        np.testing.assert_array_equal(getattr(before, step), getattr(after, step))
    assert loaded.classifier.history == router.classifier.history
    assert loaded.classifier.config == router.classifier.config
    assert {path.suffix for path in tmp_path.rglob("*.*")} == {".json", ".parquet", ".safetensors"}


@pytest.mark.parametrize("method", ["frozen", "finetune"])
def test_predictions_do_not_depend_on_the_number_of_threads(
    method: str, labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig
) -> None:
    router = fit_router(labels, split, RouterConfig(replace(config, method=method)))  # type: ignore[arg-type]
    alone = router.predict(labels.instruction)
    torch.set_num_threads(3)
    try:
        together = router.predict(labels.instruction)
    finally:
        torch.set_num_threads(1)
    for step in STEPS:
        np.testing.assert_array_equal(getattr(alone, step), getattr(together, step))


def test_shuffled_test_labels_change_nothing(
    router: Router, labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path
) -> None:
    success = labels.success.copy()
    success[split.test] = success[np.random.default_rng(0).permutation(split.test)]
    shuffled = replace(labels, success=success)
    again = fit_router(shuffled, split, RouterConfig(config, CalibrationConfig(min_count=20)), embeddings_cache=cache)
    np.testing.assert_array_equal(again.temperatures, router.temperatures)
    assert again.buckets.equals(router.buckets)
    assert again.why == router.why
    np.testing.assert_array_equal(
        again.predict(labels.instruction).decision, router.predict(labels.instruction).decision
    )


def test_calibration_labels_do_not_touch_the_classifier(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path
) -> None:
    success = labels.success.copy()
    success[split.calibration] = 1 - success[split.calibration]
    models = [
        train_classifier(table, split.train, split.validation, config, embeddings_cache=cache)
        for table in (labels, replace(labels, success=success))
    ]
    np.testing.assert_array_equal(*(model.logits(labels.instruction) for model in models))


def test_validation_texts_also_fit_the_stacking_weights(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path
) -> None:
    """With one epoch there is nothing to stop early: validation labels leave the heads alone."""
    config = replace(config, companions=(), training=replace(config.training, epochs=1))
    success = labels.success.copy()
    success[split.validation] = 1 - success[split.validation]
    one, other = (
        train_classifier(table, split.train, split.validation, config, embeddings_cache=cache)
        for table in (labels, replace(labels, success=success))
    )
    for before, after in zip(one.ensembles["frozen"], other.ensembles["frozen"], strict=True):
        torch.testing.assert_close(before.state_dict(), after.state_dict(), rtol=0, atol=0)
    assert one.stacking.specific[0] > other.stacking.specific[0]


def test_other_seed_other_router(
    router: Router, labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path
) -> None:
    other = replace(config, training=replace(config.training, seed=1))
    again = fit_router(labels, split, RouterConfig(other), embeddings_cache=cache)
    assert not np.array_equal(again.predict(labels.instruction).raw, router.predict(labels.instruction).raw)


def test_out_of_fold_logits_come_from_members_that_had_not_seen_the_label(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path
) -> None:
    """With random labels an honest prediction is worth nothing, a leaked one is worth something."""
    rng = np.random.default_rng(0)
    noise = replace(labels, success=(rng.random(labels.success.shape) < 0.5).astype(np.float32))
    eager = replace(config.training, epochs=40, patience=40)
    config = replace(config, training=eager, stacking=False)
    classifier = train_classifier(noise, split.train, split.validation, config, embeddings_cache=cache)
    logits, success, _ = calibration_data(classifier, noise, split)
    assert len(logits) == len(split.train) + len(split.calibration)
    held_out = calibration_metrics(1 / (1 + np.exp(-logits)), success, noise.models)["auc"].to_numpy().mean()
    assert held_out < 0.58


def test_a_handful_of_calibration_rows_does_not_decide_how_sharp_the_router_is(
    labels: LabelledInstructions, split: SimpleNamespace, router: Router
) -> None:
    """Three rows whose every label agrees with the prediction are no reason for certainty."""
    classifier = router.classifier
    few = split.calibration[:3]
    agreeing = labels.success.copy()
    agreeing[few] = classifier.logits(labels.take(few).instruction, labels.take(few).task) > 0
    lucky = SimpleNamespace(**(vars(split) | {"calibration": few}))
    logits, _, _ = calibration_data(classifier, replace(labels, success=agreeing), lucky)
    assert classifier.out_of_fold is not None
    factor = np.abs(logits[len(few) :]).sum() / np.abs(classifier.out_of_fold).sum()
    assert 0.75 < factor < 1.33


@pytest.mark.slow
def test_training_on_other_rows_does_not_resume_a_checkpoint(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path, tmp_path: Path
) -> None:
    """Half of the interrupted training's rows are held out of the next one, which must not keep what was learnt."""
    train_classifier(labels, split.train, split.validation, config, embeddings_cache=cache, checkpoint=tmp_path)
    fewer = split.train[::2]
    fresh, resumed = (
        train_classifier(labels, fewer, split.validation, config, embeddings_cache=cache, checkpoint=checkpoint)
        for checkpoint in (None, tmp_path)
    )
    np.testing.assert_array_equal(resumed.logits(labels.instruction), fresh.logits(labels.instruction))


def test_training_resumes_after_a_kill(
    labels: LabelledInstructions,
    split: SimpleNamespace,
    config: ClassifierConfig,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(config, method="upper_layers")
    whole = train_classifier(labels, split.train, split.validation, config, embeddings_cache=cache)
    rename = os.replace

    def kept_of_two_networks() -> list[Path]:
        return sorted(tmp_path.rglob("*.safetensors"))

    def killed(source: Path, target: Path) -> None:
        rename(source, target)
        if len(kept_of_two_networks()) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            train_classifier(labels, split.train, split.validation, config, embeddings_cache=cache, checkpoint=tmp_path)
    done, _ = sorted(kept_of_two_networks(), key=lambda path: path.stat().st_mtime_ns)
    written = done.stat().st_mtime_ns
    resumed = train_classifier(
        labels, split.train, split.validation, config, embeddings_cache=cache, checkpoint=tmp_path
    )
    assert done.stat().st_mtime_ns == written  # of the network that was trained already
    np.testing.assert_array_equal(resumed.logits(labels.instruction), whole.logits(labels.instruction))
    assert resumed.history == whole.history


def test_task_is_used_when_given_and_may_be_missing_later(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path
) -> None:
    task = np.array(["hard" if i % 3 else "easy" for i in range(len(labels))], dtype=object)
    easy = (task == "easy").astype(np.float32)
    table = replace(labels, task=task, success=np.stack([easy, 1 - easy, easy], axis=1))
    classifier = train_classifier(table, split.train, split.validation, config, embeddings_cache=cache)
    logits = classifier.logits(labels.instruction[:2], ["easy", "hard"])
    assert logits[0, 0] > logits[1, 0]
    assert np.isfinite(classifier.logits(labels.instruction[:2])).all()
    assert np.isfinite(classifier.logits(labels.instruction[:2], ["unheard of", None])).all()


def test_no_instructions_give_no_rows(router: Router) -> None:
    assert router.predict([]).decision.shape == (0, 3)


def test_directory_without_a_router_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=str(tmp_path)):
        SuccessClassifier.load(tmp_path)


def test_unknown_method_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown method 'magic'"):
        ClassifierConfig(method="magic")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "tokens", "width", "device", "method", "layers", "epochs"),
    [
        (300, 6_000, 384, "cpu", "frozen", 5, 4),
        (2_000, 80_000, 384, "cpu", "upper_layers", 5, 4),
        (5_300, 120_000, 384, "cpu", "upper_layers", 5, 4),
        (9_000, 240_000, 384, "cpu", "upper_layers", 3, 4),
        (20_000, 500_000, 384, "cpu", "upper_layers", 3, 2),
        (50_000, 5_000_000, 384, "cpu", "frozen", 5, 4),
        (5_300, 120_000, 768, "cpu", "upper_layers", 3, 2),
        (50_000, 5_000_000, 384, "cuda", "finetune", 6, 4),
    ],
)
def test_auto_chooses_by_device_and_size_and_says_why(
    texts: int, tokens: int, width: int, device: str, method: str, layers: int, epochs: int
) -> None:
    chosen, why = resolve(ClassifierConfig(), texts, tokens, 6, width, device)
    assert (chosen.method, chosen.tuned_layers, chosen.tuned_training.epochs) == (method, layers, epochs)
    assert f"{texts:,}" in why


@pytest.mark.parametrize(
    ("texts", "on_cpu", "on_gpu"),
    [(40, 8, 8), (1_279, 8, 8), (2_400, 15, 15), (5_300, 32, 33), (12_800, 32, 80), (1_000_000, 32, 128)],
)
def test_batches_grow_with_the_texts_so_that_an_epoch_keeps_its_steps(texts: int, on_cpu: int, on_gpu: int) -> None:
    training = ClassifierConfig().tuned.training
    cpu, gpu = (with_enough_steps(training, texts, device) for device in ("cpu", "cuda"))
    assert (cpu.batch_size, gpu.batch_size) == (on_cpu, on_gpu)
    assert cpu.learning_rate == training.learning_rate
    assert gpu.learning_rate == pytest.approx(training.learning_rate * max(1, on_gpu / 32) ** 0.5)


def test_few_texts_are_tuned_on_in_small_batches(
    config: ClassifierConfig, labels: LabelledInstructions, split: SimpleNamespace, tmp_path: Path
) -> None:
    tuned = replace(config, method="upper_layers", companions=())
    train_classifier(labels, split.train, split.validation, tuned, checkpoint=tmp_path)
    with safe_open(next(tmp_path.rglob("epoch.safetensors")), "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert about["step"] / about["epoch"] > len(split.train) / 32 * 2


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_as_many_networks_are_tuned_as_were_asked_for(device: str) -> None:
    config = ClassifierConfig(tuned_members=3)
    assert resolve(config, 5_000, 50_000, 6, 384, device)[0].tuned.members == 3


@pytest.mark.parametrize(
    ("texts", "device", "networks", "parts"),
    [
        (500, "cpu", 3, 10),
        (1_500, "cpu", 2, 10),
        (2_100, "cpu", 1, 20),
        (5_000, "cpu", 1, 20),
        (500, "cuda", 5, 10),
        (5_000, "cuda", 5, 20),
    ],
)
def test_networks_by_texts_and_device(texts: int, device: str, networks: int, parts: int) -> None:
    tuned = resolve(ClassifierConfig(), texts, 20 * texts, 6, 384, device)[0].tuned
    assert (tuned.members, tuned.parts) == (networks, parts)


def test_saved_settings_are_readable(router: Router, tmp_path: Path) -> None:
    router.save(tmp_path)
    about = json.loads((tmp_path / "classifier" / "classifier.json").read_text())
    assert about["why"] == router.classifier.why
    assert about["config"]["training"]["epochs"] == 4


@pytest.mark.filterwarnings("error:Mean of empty slice")
def test_a_member_trains_on_all_texts_where_they_form_a_single_group(
    labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, cache: Path
) -> None:
    """No part can be left out, as related texts stay together."""
    group = np.array([None] * len(labels), dtype=object)
    group[split.train] = "one"
    grouped = replace(labels, group=group)
    router = fit_router(grouped, split, RouterConfig(config), embeddings_cache=cache)
    assert router.classifier.out_of_fold is None
    test = labels.take(split.test)
    auc = calibration_metrics(router.predict(test.instruction).raw, test.success, labels.models)["auc"].to_pylist()
    assert min(auc[:2]) > 0.7
