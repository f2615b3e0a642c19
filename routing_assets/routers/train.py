"""The steps that make a router, from table to table, one for each asset; ``fit_router`` runs the same functions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.datasets.splits import Split
from routing_assets.foundation.content_version import content_version
from routing_assets.foundation.files import atomic_folder, file_sha256
from routing_assets.foundation.long_table import about, long_table, matrix
from routing_assets.prediction.calibration.buckets import STEPS, CalibrationConfig, config_of, fit_buckets
from routing_assets.prediction.calibration.quality import calibration_metrics
from routing_assets.prediction.calibration.temperatures import fit_temperatures, scale, sigmoid
from routing_assets.prediction.classifier.classifier import SuccessClassifier
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.train import train_classifier
from routing_assets.prediction.encoder.encoder import EncoderConfig
from routing_assets.prediction.encoder.precision import Precision
from routing_assets.prediction.panel_refit import PanelRefit, try_panel_refit
from routing_assets.prediction.router import Router, RouterConfig, calibration_data, choose_decision
from routing_assets.routers import mlflow_registry as tracking
from routing_assets.routers.precision import in_bf16
from routing_assets.routers.registry import Registry
from routing_assets.routers.shelf import Shelf, keep_router
from routing_assets.routers.texts_learnt import learnt_table


@dataclass(frozen=True)
class TrainedClassifier:
    """The result of training: ``record`` identifies the classifier, the rest is shown on the asset's page."""

    record: dict[str, Any]
    why: str
    losses: list[dict[str, Any]]
    test_quality: list[dict[str, Any]]

    @property
    def test_means(self) -> dict[str, float]:
        """Mean over the models of each test figure."""
        names = ("log_loss", "brier", "auc", "ece")
        return {name: _mean([row[name] for row in self.test_quality]) for name in names}


def train_and_log(
    shelf: Shelf,
    registry: Registry,
    checkpoints: Path,
    labels: LabelledInstructions,
    split: Split,
    settings: Mapping[str, Any],
    *,
    run_id: str,
) -> TrainedClassifier:
    """Train the classifier, keep it under ``routers/``, log and register it in MLflow.

    An interrupted training of the same labels and settings goes on where it stopped.
    """
    config = classifier_config(settings)
    work = checkpoints / content_version(pa.Table.from_pylist([{"labels": labels.content_hash, **settings}]))
    classifier = train_classifier(
        labels,
        split.train,
        split.validation,
        config,
        embeddings_cache=shelf.embeddings,
        checkpoint=work,
        progress=True,
    )
    classifier_id, directory = _keep(classifier, work, shelf.folder / "classifiers")
    test = labels.take(split.test)
    quality = calibration_metrics(sigmoid(classifier.logits(test.instruction, test.task)), test.success, labels.models)
    trained = TrainedClassifier(
        {"classifier_id": classifier_id, "label_hash": labels.content_hash},
        classifier.why,
        [{"epoch": e.epoch, "train": e.train, "validation": e.validation} for e in classifier.history],
        quality.to_pylist(),
    )
    per_model = {f"{n}/{row['model']}": row[n] for row in trained.test_quality for n in ("auc", "log_loss", "brier")}
    means = ", ".join(f"{name} {value:.3f}" for name, value in trained.test_means.items() if value is not None)
    logged = tracking.log_classifier(
        registry,
        directory,
        labels.models,
        name=f"{labels.name} {classifier.config.method}",
        description=f"Success of {len(labels.models)} models, learnt from {len(split.train)} instructions of "
        f"{labels.name} by method {classifier.config.method}; on {len(split.test)} test instructions: {means}.",
        labels=tracking.LabelSource(labels.name, labels.content_hash, len(labels)),
        parameters=settings,
        losses=trained.losses,
        metrics={f"test_{n}": value for n, value in (trained.test_means | per_model).items() if value is not None},
        tags={"dagster_run_id": run_id},
    )
    shutil.rmtree(work)
    record = {"mlflow_run_id": logged.run_id, "mlflow_model_version": logged.model_version, "dagster_run_id": run_id}
    return replace(trained, record=trained.record | record)


def held_out_logits(shelf: Shelf, record: Mapping[str, Any], labels: LabelledInstructions, split: Split) -> pa.Table:
    """Logit and success of every labelled pair that calibrates: instructions the classifier did not learn from."""
    return _pairs(labels.models, *calibration_data(_classifier(shelf, record), labels, split), about={})


def panel_refit(shelf: Shelf, record: Mapping[str, Any], logits: pa.Table, models: tuple[str, ...]) -> pa.Table:
    """The held-out logits, corrected by the panel refit where it is kept, each by a network that had not seen it.

    The table's metadata say ``why``; a refit that is kept is stored under ``routers/refits`` by its ``refit_id``.
    """
    success, component = (matrix(logits, name, models) for name in ("success", "component"))
    seed = _classifier(shelf, record).config.training.seed
    trial = try_panel_refit(matrix(logits, "logit", models), success, component[:, 0], seed)
    said = {"why": trial.why}
    if trial.refit is not None:
        said["refit_id"] = trial.refit.version
        with atomic_folder(shelf.folder / "refits" / said["refit_id"]) as work:
            trial.refit.save(work)
    return _pairs(models, trial.logits, success, component[:, 0], about=said)


def _pairs(
    models: tuple[str, ...],
    logits: np.ndarray,
    success: np.ndarray,
    component: np.ndarray,
    *,
    about: Mapping[str, str],
) -> pa.Table:
    """One row per instruction and model: ``logit, success, component``."""
    related = np.repeat(component[:, None], len(models), axis=1)
    columns: dict[str, np.ndarray] = {"logit": logits, "success": success, "component": related}
    return long_table(np.arange(len(logits)).astype(str), models, columns, about=about)


def temperatures(logits: pa.Table, models: tuple[str, ...]) -> pa.Table:
    """One temperature per model: ``model, temperature``."""
    fitted = fit_temperatures(matrix(logits, "logit", models), matrix(logits, "success", models))
    return pa.table({"model": pa.array(models, pa.string()), "temperature": fitted})


def buckets(logits: pa.Table, temperatures: pa.Table, settings: Mapping[str, Any]) -> pa.Table:
    """The bucket table of every model, from the temperature-scaled probabilities; it says how it was made."""
    models = tuple(temperatures["model"].to_pylist())
    scaled = scale(matrix(logits, "logit", models), temperatures["temperature"].to_numpy())
    return fit_buckets(scaled, matrix(logits, "success", models), models, CalibrationConfig(**settings))


@dataclass(frozen=True, eq=False)
class AssembledRouter:
    """A router kept under ``routers/<version>``, with its ledger record and its quality on held-out rows."""

    record: dict[str, Any]
    why: str
    quality: Mapping[str, pa.Table]
    """By split: log-loss, Brier score, AUC and calibration error of each model after each step."""
    why_precision: str | None = None
    """What scoring in bf16 changes; None where it scores in fp32."""

    @property
    def test_quality(self) -> pa.Table:
        """The rows for the warehouse."""
        table = self.quality["test"].drop(["model_index"])
        return table.append_column("router_version", pa.array([self.record["router_version"]] * table.num_rows))

    def mean_quality(self, split: str) -> list[dict[str, Any]]:
        """Mean over the models after each step, weighted by their labels."""
        rows = self.quality[split].to_pylist()
        figures = ("log_loss", "brier", "auc", "ece", "ece_floor")
        by_step = {step: [row for row in rows if row["step"] == step] for step in STEPS}
        return [{"step": step, **{name: _weighted(by_step[step], name) for name in figures}} for step in STEPS]


def assemble(
    shelf: Shelf,
    record: Mapping[str, Any],
    logits: pa.Table,
    temperatures: pa.Table,
    buckets: pa.Table,
    labels: LabelledInstructions,
    split: Split,
    estimate: str,
    precision: Precision = "fp32",
) -> AssembledRouter:
    """Join the steps to one router, choose the estimate that feeds the allocation, and keep it all on disk.

    ``logits`` are those of :func:`panel_refit`.
    Stored with the router are hashes of the texts it learnt from and the rows to judge it by. Raises InvalidInput where
    it is to score in bf16 and that changes too much on held-out rows.
    """
    classifier, fitted = _classifier(shelf, record), temperatures["temperature"].to_numpy()
    plain_buckets = buckets.drop(["buckets_id"])
    refit_id = about(logits).get("refit_id")
    refit = PanelRefit.load(shelf.folder / "refits" / refit_id) if refit_id else None
    decision, why = choose_decision(
        matrix(logits, "logit", labels.models),
        matrix(logits, "success", labels.models),
        labels.models,
        matrix(logits, "component", labels.models)[:, 0],
        RouterConfig(calibration=config_of(buckets), decision=estimate),  # type: ignore[arg-type]
    )
    router = Router(classifier, fitted, plain_buckets, decision, why, refit=refit)
    entry = {**record, "decision_estimate": decision, "buckets_id": buckets["buckets_id"][0].as_py()}
    if refit_id:
        entry["refit_id"] = refit_id
    why_precision = None
    if precision != "fp32":
        held_out = labels.take(np.concatenate([split.validation, split.calibration, split.test]))
        router, compared = in_bf16(router, held_out)
        entry, why_precision = {**entry, "precision": precision}, str(compared)
    version = content_version(pa.Table.from_pylist([entry]))
    keep_router(
        shelf.folder / version,
        router,
        learnt_from=learnt_table(labels, dict(split.parts())),
        judged_by=labels.take(split.test),
    )
    return AssembledRouter(
        {
            **entry,
            "temperatures_id": temperatures["temperatures_id"][0].as_py(),
            "router_version": version,
        },
        why,
        {"validation": quality(router, labels, split.validation), "test": quality(router, labels, split.test)},
        why_precision,
    )


def quality(router: Router, labels: LabelledInstructions, rows: np.ndarray) -> pa.Table:
    """Log-loss, Brier score, AUC and calibration error of each model after each step, on the given rows."""
    held_out = labels.take(rows)
    return step_quality(router, router.classifier.logits(held_out.instruction, held_out.task), held_out)


def step_quality(router: Router, logits: np.ndarray, labels: LabelledInstructions) -> pa.Table:
    """:func:`quality` of given logits of the router's models; models that ``labels`` lacks are left out."""
    predicted = router.probabilities(logits)
    order = [router.models.index(model) for model in labels.models]
    component = related_rows(labels.instruction, labels.group)
    tables = []
    for step in STEPS:
        probability = getattr(predicted, step)[:, order]
        table = calibration_metrics(probability, labels.success, labels.models, component=component)
        tables.append(table.append_column("step", pa.array([step] * table.num_rows)))
    return pa.concat_tables(tables)


def classifier_config(settings: Mapping[str, Any]) -> ClassifierConfig:
    """The classifier's configuration from the asset's settings."""
    default = ClassifierConfig()
    return replace(
        default,
        method=settings["method"],
        encoder=EncoderConfig(name=settings["encoder"]),
        training=replace(default.training, seed=settings["seed"]),
    )


def _keep(classifier: SuccessClassifier, work: Path, folder: Path) -> tuple[str, Path]:
    """Save under a hash of the weights and of the models' names, completely or not at all."""
    classifier.save(work / "classifier")
    weights = file_sha256(work / "classifier" / "classifier.safetensors")
    classifier_id = content_version(pa.Table.from_pylist([{"weights": weights, "models": list(classifier.models)}]))
    directory = folder / classifier_id
    if not directory.exists():
        folder.mkdir(parents=True, exist_ok=True)
        os.replace(work / "classifier", directory)
    return classifier_id, directory


def _classifier(shelf: Shelf, record: Mapping[str, Any]) -> SuccessClassifier:
    directory = shelf.folder / "classifiers" / record["classifier_id"]
    return SuccessClassifier.load(directory, embeddings_cache=shelf.embeddings)


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _weighted(rows: list[dict[str, Any]], name: str) -> float:
    known = [row for row in rows if row[name] is not None]
    weights = [row["labels"] for row in known]
    return float(np.average([row[name] for row in known], weights=weights)) if known else float("nan")
