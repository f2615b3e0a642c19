"""Training of the success classifier: what ``auto`` chooses, the members, and their stacking."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.prediction.classifier.classifier import (
    SuccessClassifier,
    embedding_cache,
    member_inputs,
    new_network,
)
from routing_assets.prediction.classifier.config import (
    TEXTS_WITHOUT_PILOT,
    ClassifierConfig,
    resolve,
    with_enough_steps,
)
from routing_assets.prediction.classifier.ensemble import Ensemble, Inputs, VectorInputs, mean_logits, train_ensemble
from routing_assets.prediction.classifier.features import fit_features
from routing_assets.prediction.classifier.lexical import LexicalInputs, reads_characters, train_lexical
from routing_assets.prediction.classifier.neighbours import train_neighbours
from routing_assets.prediction.classifier.network import Network
from routing_assets.prediction.classifier.pilot import run_pilot
from routing_assets.prediction.classifier.stacking import Stacking, fit_stacking, plain_mean
from routing_assets.prediction.classifier.training import EpochLoss
from routing_assets.prediction.classifier.training_texts import (
    TrainingTexts,
    distinct_texts,
    success_rates,
    training_texts,
)
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import SentenceEncoder
from routing_assets.prediction.encoder.precision import supports_bfloat16
from routing_assets.prediction.encoder.text import fit_text_preparation
from routing_assets.prediction.encoder.threads import one_thread, use_threads

Matrix = NDArray[np.float32]


def train_classifier(
    labels: LabelledInstructions,
    train: NDArray[np.integer],
    validation: NDArray[np.integer],
    config: ClassifierConfig | None = None,
    *,
    embeddings_cache: Path | str | EmbeddingCache | None = None,
    checkpoint: Path | str | None = None,
    progress: bool = False,
) -> SuccessClassifier:
    """Train on the rows ``train`` of ``labels``; ``validation`` rows stop the training. No other row is read.

    ``embeddings_cache`` is a directory (or a cache shared between calls); ``checkpoint`` a directory from which an
    interrupted run resumes. Equal texts are trained on once, with their mean success and the weight of their labels.
    Training is in fp32; the encoder's ``precision`` is what the classifier scores in.
    """
    config = config or ClassifierConfig()
    if (precision := config.encoder.precision) != "fp32":
        config = replace(config, encoder=replace(config.encoder, precision="fp32"))
    use_threads(config.threads)
    used = labels.take(np.concatenate([train, validation]))
    preparation = fit_text_preparation(used.instruction[: len(train)])
    distinct, text_of_row = distinct_texts(used, len(train))
    texts = training_texts(used, distinct, text_of_row, len(train), config.training.seed)
    instruction = list(used.instruction[distinct])
    task = None if used.task is None else list(used.task[distinct])
    prepared = preparation.prepare(instruction)
    in_train = texts.train
    features = fit_features(
        [prepared[i] for i in in_train], preparation, None if task is None else [task[i] for i in in_train]
    )
    matrix = features.matrix(instruction, prepared, task)
    embeddings = embedding_cache(config, embeddings_cache)
    encoder = embeddings.encoder
    tokens = int(sum(len(row) for row in encoder.tokenize([prepared[i] for i in in_train])))
    resolved, why = resolve(config, len(in_train), tokens, encoder.layers, encoder.width, encoder.device)
    if config.method == "auto" and resolved.method != "frozen" and len(in_train) < TEXTS_WITHOUT_PILOT:
        resolved, why = _after_pilot(labels, train, validation, resolved, why, embeddings, progress)
    characters = reads_characters([prepared[i] for i in in_train])
    embedded = cache(partial(embeddings.embed, prepared, progress))
    ensembles: dict[str, Ensemble] = {}
    on_validation: list[Matrix] = []
    for name in resolved.ensembles:
        inputs = member_inputs(name, resolved, prepared, matrix, encoder, embedded, progress, characters=characters)
        ensembles[name] = _train_one(name, inputs, resolved, matrix, texts, encoder, checkpoint, progress)
        on_validation.append(mean_logits(ensembles[name].members, inputs, texts.validation, len(labels.models)))
    stacking, out_of_fold = _stack(list(ensembles.values()), np.stack(on_validation), texts, resolved)
    return SuccessClassifier(
        labels.models,
        resolved,
        preparation,
        features,
        {name: ensemble.members for name, ensemble in ensembles.items()},
        stacking,
        None if out_of_fold is None else out_of_fold[text_of_row[: len(train)]],
        _mean_history(next(iter(ensembles.values()))),
        why,
        embeddings,
    ).with_precision(precision)


def _after_pilot(
    labels: LabelledInstructions,
    train: NDArray[np.integer],
    validation: NDArray[np.integer],
    tuned: ClassifierConfig,
    why: str,
    embeddings: EmbeddingCache,
    progress: bool,
) -> tuple[ClassifierConfig, str]:
    """``tuned`` if a pilot finds that tuning pays, frozen settings otherwise; and why, in words."""
    frozen = replace(tuned, method="frozen")

    def fit(rows: NDArray[np.integer], config: ClassifierConfig) -> SuccessClassifier:
        return train_classifier(labels, rows, validation, config, embeddings_cache=embeddings, progress=progress)

    seed, one = tuned.training.seed, replace(tuned, tuned_members=1, tuned_parts=ClassifierConfig.tuned_parts)
    pilot = run_pilot(labels, train, seed, frozen=lambda rows: fit(rows, frozen), tuned=lambda rows: fit(rows, one))
    return (tuned, f"{why}; {pilot}") if pilot.pays else (frozen, f"frozen: {pilot}")


def _train_one(
    name: str,
    inputs: Inputs,
    config: ClassifierConfig,
    features: Matrix,
    texts: TrainingTexts,
    encoder: SentenceEncoder,
    checkpoint: Path | str | None,
    progress: bool,
) -> Ensemble:
    """The ensemble ``name``: several networks, or a companion, which is a single cross-fitted member."""
    if isinstance(inputs, LexicalInputs):
        lexical, left_out = train_lexical(inputs, texts)
        return Ensemble((lexical,), left_out)
    if name == "neighbours" and isinstance(inputs, VectorInputs):
        votes, left_out = train_neighbours(inputs.vectors, texts, config.training.seed)
        return Ensemble((votes,), left_out)
    rate = success_rates(texts.success[texts.train], texts.weight[texts.train])
    part = config.frozen if name == "frozen" else config.tuned
    training = part.training
    if name == "tuned":
        training = with_enough_steps(training, len(texts.train), encoder.device)

    def build() -> Network:
        network = new_network(name, config, encoder, features.shape[1], len(rate)).to(encoder.device)
        network.start_at(rate)
        return network

    with one_thread() if name == "frozen" else nullcontext():  # a head's steps are too short for several threads
        return train_ensemble(
            build,
            inputs,
            texts,
            part.members,
            part.parts,
            training,
            device=encoder.device,
            mixed_precision=name == "tuned" and supports_bfloat16(encoder.device),
            checkpoint=None if checkpoint is None else Path(checkpoint),
            progress=progress,
            label=name,
        )


def _stack(
    ensembles: Sequence[Ensemble], on_validation: Matrix, texts: TrainingTexts, config: ClassifierConfig
) -> tuple[Stacking, Matrix | None]:
    """Stacking weights from the left-out folds and the validation texts, whose logits are (E, V, K); and the stacked
    out-of-fold logits of every distinct text.
    """
    stacking = plain_mean(len(ensembles), texts.success.shape[1])
    logits = np.stack([ensemble.out_of_fold for ensemble in ensembles])
    rows = np.flatnonzero(~np.isnan(logits).any(axis=(0, 2)))
    if not len(rows):
        return stacking, None
    if config.stacking:
        held_out = np.concatenate([rows, texts.validation])
        held_out_logits = np.concatenate([logits[:, rows], on_validation], axis=1)
        stacking = fit_stacking(held_out_logits, texts.success[held_out], texts.weight[held_out])
    return stacking, stacking.combine(logits)


def _mean_history(ensemble: Ensemble) -> list[EpochLoss]:
    longest = max(len(history) for history in ensemble.histories)
    per_epoch = [[h[i] for h in ensemble.histories if len(h) > i] for i in range(longest)]
    return [
        EpochLoss(i + 1, float(np.mean([e.train for e in losses])), float(np.mean([e.validation for e in losses])))
        for i, losses in enumerate(per_epoch)
    ]
