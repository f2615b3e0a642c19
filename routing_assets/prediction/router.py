"""The router: classifier, panel refit, temperatures and buckets of one training, and the estimate that decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.calibration.buckets import CalibrationConfig, apply_buckets, fit_buckets
from routing_assets.prediction.calibration.estimate import Estimate, choose_estimate, estimate
from routing_assets.prediction.calibration.recalibration import recount_buckets
from routing_assets.prediction.calibration.temperatures import fit_temperatures, scale, shared_temperature, sigmoid
from routing_assets.prediction.classifier.added_model import fit_added_model, left_out_logits
from routing_assets.prediction.classifier.classifier import SuccessClassifier
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.train import train_classifier
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import best_device
from routing_assets.prediction.encoder.precision import Precision, remark
from routing_assets.prediction.panel_refit import PanelRefit, try_panel_refit

Matrix = NDArray[np.float32]


class SplitRows(Protocol):
    """Row indices of a grouped split."""

    @property
    def train(self) -> NDArray[np.integer]: ...
    @property
    def validation(self) -> NDArray[np.integer]: ...
    @property
    def calibration(self) -> NDArray[np.integer]: ...
    @property
    def test(self) -> NDArray[np.integer]: ...


@dataclass(frozen=True)
class RouterConfig:
    """Settings of a router. ``decision`` names the estimate that feeds the allocation."""

    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    decision: Estimate = "auto"


@dataclass(frozen=True, eq=False)
class ProbabilityMatrix:
    """P(success) of N instructions on K models after each step, each (N, K) float32 in [0, 1].

    ``raw`` from the classifier, ``scaled`` by temperature, after the panel refit where there is one, ``calibrated`` the
    observed rate of the bucket, ``decision`` what the allocation uses.
    """

    models: tuple[str, ...]
    raw: Matrix
    scaled: Matrix
    calibrated: Matrix
    decision: Matrix


@dataclass(frozen=True, eq=False)
class Router:
    """Everything that turns an instruction into probabilities. ``decision`` is the resolved estimate, ``why`` says
    how it was chosen; ``shifts`` (K,) are added to the scaled logits of a router that was recalibrated by outcomes;
    ``refit`` corrects the logits of the trained models, where held-out rows showed that it helps.
    """

    classifier: SuccessClassifier
    temperatures: NDArray[np.float64]
    buckets: pa.Table
    decision: Estimate
    why: str
    shifts: NDArray[np.float64] | None = None
    refit: PanelRefit | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The K models, in column order."""
        return self.classifier.models

    @property
    def precision(self) -> Precision:
        """The precision in which the encoder scores: the same for a whole batch."""
        return self.classifier.precision

    @property
    def precision_remark(self) -> str:
        """A warning for scoring in this router's precision on this machine; empty where there is none."""
        return remark(self.precision, best_device())

    def with_precision(self, precision: Precision) -> Router:
        """This router, scoring in ``precision``; its probabilities then differ a little."""
        return replace(self, classifier=self.classifier.with_precision(precision))

    def predict(
        self,
        instruction: Sequence[str] | NDArray[np.object_],
        task: Sequence[str | None] | NDArray[np.object_] | None = None,
    ) -> ProbabilityMatrix:
        """Probabilities of every model on every instruction."""
        return self.probabilities(self.classifier.logits(instruction, task))

    def probabilities(self, logits: Matrix) -> ProbabilityMatrix:
        """Probabilities for logits of this router's classifier."""
        scaled = scale(self.corrected(logits), self.temperatures, self.shifts)
        calibrated = apply_buckets(scaled, self.buckets)
        decision = estimate(self.decision, scaled, self.buckets)
        return ProbabilityMatrix(self.models, sigmoid(logits), scaled, calibrated, decision)

    def corrected(self, logits: Matrix) -> Matrix:
        """The logits that are calibrated, for those of the classifier; the refit leaves added models as they are."""
        if self.refit is None:
            return logits
        trained = len(self.classifier.trained_models)
        return np.concatenate([self.refit.correct(logits[:, :trained]), logits[:, trained:]], axis=1)

    def with_new_model(self, name: str, panel: Matrix, success: NDArray[np.floating]) -> Router:
        """A router with one more model, learnt from a few labelled instructions (n from about 20).

        A model that was added before is fitted anew. Nothing that was trained changes. The new model's logits are
        fitted to labels, so they need no temperature; its buckets are counted from cross-fitted probabilities.

        Args:
            panel: (n, K) logits of the instructions, by ``classifier.panel_logits``.
            success: (n,) of the new model; NaN where it is unlabelled.
        """
        if name in self.classifier.trained_models:
            raise InvalidInput(f"the router already knows the model '{name}'", remedy="Give the new model another name")
        classifier = self.classifier.with_added(fit_added_model(name, panel, success))
        column = classifier.models.index(name)
        shape = len(panel), len(classifier.models)
        probability, labels = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        probability[:, column], labels[:, column] = sigmoid(left_out_logits(name, panel, success)), success
        return replace(
            self,
            classifier=classifier,
            temperatures=_with_value(self.temperatures, column, 1.0),
            shifts=None if self.shifts is None else _with_value(self.shifts, column, 0.0),
            buckets=recount_buckets(self.buckets, probability, labels, classifier.models),
        )

    def save(self, directory: Path | str) -> None:
        """Write the router into ``directory``: safetensors, Parquet and JSON."""
        directory = Path(directory)
        self.classifier.save(directory / "classifier")
        if self.refit is not None:
            self.refit.save(directory)
        pq.write_table(self.buckets, directory / "calibration_buckets.parquet")
        about = {
            "temperatures": self.temperatures.tolist(),
            "shifts": None if self.shifts is None else self.shifts.tolist(),
            "decision": self.decision,
            "why": self.why,
        }
        (directory / "router.json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, directory: Path | str, *, embeddings_cache: Path | str | EmbeddingCache | None = None) -> Router:
        """Inverse of :meth:`save`."""
        directory = Path(directory)
        classifier = SuccessClassifier.load(directory / "classifier", embeddings_cache=embeddings_cache)
        about = json.loads((directory / "router.json").read_text())
        buckets = pq.read_table(directory / "calibration_buckets.parquet")
        shifts = None if about.get("shifts") is None else np.array(about["shifts"])
        temperatures, refit = np.array(about["temperatures"]), PanelRefit.load(directory)
        return cls(classifier, temperatures, buckets, about["decision"], about["why"], shifts, refit)


def _with_value(values: NDArray[np.float64], place: int, value: float) -> NDArray[np.float64]:
    """A copy of ``values`` with ``value`` at ``place``, which may be the place after the last."""
    return np.concatenate([values[:place], [value], values[place + 1 :]])


def fit_router(
    labels: LabelledInstructions,
    split: SplitRows,
    config: RouterConfig | None = None,
    *,
    embeddings_cache: Path | str | EmbeddingCache | None = None,
    checkpoint: Path | str | None = None,
    progress: bool = False,
) -> Router:
    """Train, calibrate and choose the decision estimate. Nothing of ``split.test`` is read.

    The steps are public functions, so that each can be an asset of its own: :func:`train_classifier`,
    :func:`calibration_data`, :func:`try_panel_refit`, :func:`fit_temperatures`, :func:`fit_buckets`,
    :func:`choose_decision`.
    """
    config = config or RouterConfig()
    classifier = train_classifier(
        labels,
        split.train,
        split.validation,
        config.classifier,
        embeddings_cache=embeddings_cache,
        checkpoint=checkpoint,
        progress=progress,
    )
    logits, success, component = calibration_data(classifier, labels, split, config.calibration.sharpness_prior)
    trial = try_panel_refit(logits, success, component, seed=classifier.config.training.seed)
    return calibrated_router(classifier, trial.refit, trial.logits, success, component, config)


def calibrated_router(
    classifier: SuccessClassifier,
    refit: PanelRefit | None,
    logits: Matrix,
    success: Matrix,
    component: NDArray[np.integer],
    config: RouterConfig,
) -> Router:
    """Temperatures, buckets and the estimate, from :func:`calibration_data`; ``logits`` are corrected by ``refit``."""
    temperatures = fit_temperatures(logits, success, config.calibration.temperature_prior)
    buckets = fit_buckets(scale(logits, temperatures), success, classifier.models, config.calibration)
    decision, why = choose_decision(logits, success, classifier.models, component, config)
    return Router(classifier, temperatures, buckets, decision, why, refit=refit)


def calibration_data(
    classifier: SuccessClassifier,
    labels: LabelledInstructions,
    split: SplitRows,
    prior: float = CalibrationConfig.sharpness_prior,
) -> tuple[Matrix, Matrix, NDArray[np.int64]]:
    """Logits and success, each (C, K), of instructions unseen by the networks that made the logits, and the component
    (C,) of each, equal for related instructions.

    These are the calibration rows, and the training rows with their out-of-fold logits (cross-fitting). The latter come
    from single members, not from the whole ensemble, so one factor, fitted on both sets, scales them to the ensemble's
    sharpness. ``prior``, in instructions, pulls the factor toward 1: a handful of calibration rows cannot determine it.
    """
    held_out = labels.take(split.calibration)
    logits, success = classifier.logits(held_out.instruction, held_out.task), held_out.success
    component = related_rows(labels.instruction, labels.group)
    if classifier.out_of_fold is None:
        return logits, success, component[split.calibration]
    left_out = classifier.out_of_fold[_left_out(classifier)]
    its_success = labels.success[split.train[_left_out(classifier)]]
    usual = shared_temperature(left_out, its_success)
    factor = np.float32(shared_temperature(logits, success, usual, prior * len(labels.models)) / usual)
    return (
        np.concatenate([logits, left_out * factor]),
        np.concatenate([success, its_success]),
        component[calibration_rows(classifier, split)],
    )


def calibration_rows(classifier: SuccessClassifier, split: SplitRows) -> NDArray[np.integer]:
    """(C,) the rows of the label table that :func:`calibration_data` is about, in its order."""
    if classifier.out_of_fold is None:
        return np.asarray(split.calibration)
    return np.concatenate([split.calibration, split.train[_left_out(classifier)]])


def _left_out(classifier: SuccessClassifier) -> NDArray[np.bool_]:
    """(T,) the training rows that some member had not seen."""
    return ~np.isnan(np.asarray(classifier.out_of_fold)).any(axis=1)


def choose_decision(
    logits: Matrix,
    success: Matrix,
    models: Sequence[str],
    component: NDArray[np.integer],
    config: RouterConfig | None = None,
) -> tuple[Estimate, str]:
    """The estimate that feeds the allocation, and why, in words; ``auto`` chooses it by :func:`calibration_data`."""
    config = config or RouterConfig()
    if config.decision != "auto":
        return config.decision, f"{config.decision}: set by configuration"
    return choose_estimate(logits, success, models, component, config.calibration)
