"""How good the estimate of a new model is after k labels, measured by leaving one known model out after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.prediction.calibration.quality import calibration_metrics
from routing_assets.prediction.calibration.temperatures import sigmoid
from routing_assets.prediction.classifier.added_model import fit_added_model
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.train import train_classifier
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache

SIZES = (20, 50, 100, 200, 500)


def new_model_curve(
    labels: LabelledInstructions,
    train: NDArray[np.integer],
    validation: NDArray[np.integer],
    test: NDArray[np.integer],
    config: ClassifierConfig | None = None,
    *,
    models: Sequence[str] | None = None,
    sizes: Sequence[int] = SIZES,
    draws: int = 5,
    embeddings_cache: Path | str | EmbeddingCache | None = None,
) -> pa.Table:
    """One row per left-out model, k and draw: ``model, labels, draw, log_loss, auc, rate_log_loss`` on the test rows.

    For each of ``models`` (all by default) a classifier is trained that has never seen the model; then the model joins
    with k labels drawn from the training rows. ``rate_log_loss`` is what its success rate among the k labels alone
    would give, the least that a method must beat.
    """
    rows = []
    for model in models or labels.models:
        column = labels.models.index(model)
        classifier = train_classifier(
            _without(labels, column), train, validation, config, embeddings_cache=embeddings_cache
        )
        task = None if labels.task is None else labels.task[train]
        panel = classifier.logits(labels.instruction[train], task)
        if classifier.out_of_fold is not None:
            # what new instructions look like: not fitted to their own labels
            panel = np.where(np.isnan(classifier.out_of_fold), panel, classifier.out_of_fold)
        test_panel = classifier.logits(labels.instruction[test], None if labels.task is None else labels.task[test])
        labelled = np.flatnonzero(~np.isnan(labels.success[train, column]))
        for k in (size for size in sizes if size <= len(labelled)):
            for draw in range(draws):
                chosen = np.random.default_rng((draw, k)).choice(labelled, k, replace=False)
                success = labels.success[train[chosen], column]
                added = fit_added_model(model, panel[chosen], success)
                quality = _quality(added.logits(test_panel), labels.success[test, column])
                rate = np.full(len(test), (success.sum() + 0.5) / (k + 1), dtype=np.float32)
                alone = _quality(np.log(rate / (1 - rate)), labels.success[test, column])
                about = {"model": model, "labels": k, "draw": draw, "rate_log_loss": alone["log_loss"]}
                rows.append(about | {name: quality[name] for name in ("log_loss", "auc")})
    return pa.Table.from_pylist(rows)


def _quality(logits: NDArray[np.float32], success: NDArray[np.float32]) -> dict[str, float]:
    metrics = calibration_metrics(sigmoid(logits)[:, None], success[:, None], ["new"])
    return dict(metrics.to_pylist()[0])


def _without(labels: LabelledInstructions, column: int) -> LabelledInstructions:
    return labels.of_models([model for k, model in enumerate(labels.models) if k != column])
