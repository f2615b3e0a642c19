"""The success classifier: P(success) of every model on an instruction, from a sentence encoder with multi-label
heads.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.errors import InvalidInput
from routing_assets.prediction.config import TEXTS_WITHOUT_PILOT, ClassifierConfig, resolve
from routing_assets.prediction.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder import SentenceEncoder, best_device
from routing_assets.prediction.ensemble import (
    Ensemble,
    Inputs,
    TokenInputs,
    VectorInputs,
    mean_logits,
    train_ensemble,
)
from routing_assets.prediction.features import InstructionFeatures, fit_features
from routing_assets.prediction.lexical import LexicalInputs, LexicalModel, lexical_inputs, train_lexical
from routing_assets.prediction.neighbours import NeighbourVotes, train_neighbours
from routing_assets.prediction.network import MultiLabelHead, Network, UpperLayers
from routing_assets.prediction.new_model import AddedModel
from routing_assets.prediction.pilot import run_pilot
from routing_assets.prediction.stacking import Stacking, fit_stacking, plain_mean
from routing_assets.prediction.text import TextPreparation, fit_text_preparation
from routing_assets.prediction.threads import one_thread, use_threads
from routing_assets.prediction.token_states import TokenStates
from routing_assets.prediction.training import EpochLoss
from routing_assets.prediction.training_texts import TrainingTexts, distinct_texts, success_rates, training_texts

Matrix = NDArray[np.float32]
Texts = Sequence[str] | NDArray[np.object_]
Tasks = Sequence[str | None] | NDArray[np.object_] | None

PREDICTED_AT_ONCE = 8_192


class SuccessClassifier:
    """A trained classifier. Make one with :func:`train_classifier` or :meth:`load`.

    ``ensembles`` maps "frozen", "tuned", "lexical" and "neighbours" to their members; ``out_of_fold`` are the stacked
    logits (T, K) of the T training rows by members that had not seen them (None when nothing was left out);
    ``history`` the losses per
    epoch, mean over the networks; ``why`` says what ``auto`` chose.
    """

    def __init__(
        self,
        models: Sequence[str],
        config: ClassifierConfig,
        preparation: TextPreparation,
        features: InstructionFeatures,
        ensembles: dict[str, tuple[nn.Module, ...]],
        stacking: Stacking,
        out_of_fold: Matrix | None,
        history: Sequence[EpochLoss],
        why: str,
        embeddings: EmbeddingCache,
        added: Sequence[AddedModel] = (),
    ) -> None:
        self.trained_models, self.added = tuple(models), tuple(added)
        self.config, self.preparation, self.features = config, preparation, features
        self.ensembles, self.stacking, self.out_of_fold = ensembles, stacking, out_of_fold
        self.history, self.why = tuple(history), why
        self._embeddings = embeddings

    @property
    def models(self) -> tuple[str, ...]:
        """The K models: the trained ones, then the added ones."""
        return self.trained_models + tuple(model.name for model in self.added)

    def with_added(self, model: AddedModel) -> SuccessClassifier:
        """This classifier with one more model, or another fit of a model that was added before."""
        joined = copy.copy(self)
        fits = {known.name: known for known in self.added} | {model.name: model}
        joined.added = tuple(fits.values())
        return joined

    def logits(self, instruction: Texts, task: Tasks = None) -> Matrix:
        """(N, K) float32 log-odds of success, before any calibration."""
        panel = self.panel_logits(instruction, task)
        return np.column_stack([panel, *(model.logits(panel) for model in self.added)])

    def embeddings(self, instruction: Texts) -> Matrix:
        """(N, D) sentence embeddings of what is worth embedding of each text, from the cache where they are known."""
        return self._embeddings.embed(self.preparation.prepare(list(instruction)))

    def panel_logits(self, instruction: Texts, task: Tasks = None) -> Matrix:
        """The logits of the trained models only, from which those of added models follow."""
        chunks = [
            self._logits(
                list(instruction[i : i + PREDICTED_AT_ONCE]),
                None if task is None else list(task[i : i + PREDICTED_AT_ONCE]),
            )
            for i in range(0, len(instruction), PREDICTED_AT_ONCE)
        ]
        return np.concatenate([np.empty((0, len(self.trained_models)), dtype=np.float32), *chunks])

    def _logits(self, instruction: list[str], task: list[str | None] | None) -> Matrix:
        prepared = self.preparation.prepare(instruction)
        features = self.features.matrix(instruction, prepared, task)
        each = []
        for name, members in self.ensembles.items():
            inputs = _inputs(name, self.config, prepared, features, self._embeddings)
            each.append(mean_logits(members, inputs, np.arange(len(prepared)), len(self.trained_models)))
        return self.stacking.combine(np.stack(each))

    def save(self, directory: Path | str) -> None:
        """Write weights (safetensors) and everything else (JSON) into ``directory``."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{name}/{i}/{key}": value.contiguous().cpu()
            for name, members in self.ensembles.items()
            for i, network in enumerate(members)
            for key, value in network.state_dict().items()
        }
        if self.out_of_fold is not None:
            tensors["out_of_fold"] = torch.from_numpy(self.out_of_fold)
        save_file(tensors, directory / "classifier.safetensors")
        about = {
            "models": self.trained_models,
            "added": [asdict(model) for model in self.added],
            "config": asdict(self.config),
            "preparation": self.preparation.to_dict(),
            "features": asdict(self.features),
            "members": {name: len(members) for name, members in self.ensembles.items()},
            "stacking": asdict(self.stacking),
            "history": [asdict(epoch) for epoch in self.history],
            "why": self.why,
        }
        (directory / "classifier.json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(
        cls, directory: Path | str, *, embeddings_cache: Path | str | EmbeddingCache | None = None
    ) -> SuccessClassifier:
        """Inverse of :meth:`save`. Raises :class:`InvalidInput` when the directory holds no classifier."""
        directory = Path(directory)
        if not (directory / "classifier.json").is_file():
            raise InvalidInput("no classifier.json here", source=str(directory), remedy="Train a router first")
        about = json.loads((directory / "classifier.json").read_text())
        config = ClassifierConfig.from_dict(about["config"])
        use_threads(config.threads)
        features = InstructionFeatures(**{name: tuple(values) for name, values in about["features"].items()})
        embeddings = _embeddings(config, embeddings_cache)
        tensors = load_file(directory / "classifier.safetensors")
        ensembles: dict[str, tuple[nn.Module, ...]] = {}
        for name, members in about["members"].items():
            prefixes = [f"{name}/{i}/" for i in range(members)]
            states = [{k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in prefixes]
            size = (features.width, len(about["models"]))
            ensembles[name] = tuple(_restored(name, state, config, embeddings.encoder, *size) for state in states)
        return cls(
            about["models"],
            config,
            TextPreparation.from_dict(about["preparation"]),
            features,
            ensembles,
            Stacking(**{name: tuple(values) for name, values in about["stacking"].items()}),
            tensors["out_of_fold"].numpy() if "out_of_fold" in tensors else None,
            [EpochLoss(**epoch) for epoch in about["history"]],
            about["why"],
            embeddings,
            [AddedModel(**(model | {"weights": tuple(model["weights"])})) for model in about["added"]],
        )


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
    interrupted run goes on. Equal texts are trained on once, with their mean success and the weight of their labels.
    """
    config = config or ClassifierConfig()
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
    embeddings = _embeddings(config, embeddings_cache)
    encoder = embeddings.encoder
    tokens = int(sum(len(row) for row in encoder.tokenize([prepared[i] for i in in_train])))
    resolved, why = resolve(config, len(in_train), tokens, encoder.layers, encoder.width, encoder.device)
    if config.method == "auto" and resolved.method != "frozen" and len(in_train) < TEXTS_WITHOUT_PILOT:
        resolved, why = _after_pilot(labels, train, validation, resolved, why, embeddings)
    ensembles: dict[str, Ensemble] = {}
    on_validation: list[Matrix] = []
    for name in resolved.ensembles:
        inputs = _inputs(name, resolved, prepared, matrix, embeddings, progress)
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
    )


def _after_pilot(
    labels: LabelledInstructions,
    train: NDArray[np.integer],
    validation: NDArray[np.integer],
    tuned: ClassifierConfig,
    why: str,
    embeddings: EmbeddingCache,
) -> tuple[ClassifierConfig, str]:
    """``tuned`` if a pilot finds that tuning pays, frozen settings otherwise; and why, in words."""
    frozen = replace(tuned, method="frozen")
    pilot = run_pilot(
        labels,
        train,
        tuned.training.seed,
        frozen=lambda rows: train_classifier(labels, rows, validation, frozen, embeddings_cache=embeddings),
        tuned=lambda rows: train_classifier(labels, rows, validation, tuned, embeddings_cache=embeddings),
    )
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
    """The ensemble ``name``: networks, or a companion, which is one member that was cross-fitted."""
    if isinstance(inputs, LexicalInputs):
        lexical, left_out = train_lexical(inputs, texts)
        return Ensemble((lexical,), left_out)
    if name == "neighbours" and isinstance(inputs, VectorInputs):
        votes, left_out = train_neighbours(inputs.vectors, texts, config.training.seed)
        return Ensemble((votes,), left_out)
    rate = success_rates(texts.success[texts.train], texts.weight[texts.train])
    part = config.frozen if name == "frozen" else config.tuned

    def build() -> Network:
        network = _network(name, config, encoder, features.shape[1], len(rate)).to(encoder.device)
        network.start_at(rate)
        return network

    with one_thread() if name == "frozen" else nullcontext():  # steps of a head are too short to share
        return train_ensemble(
            build,
            inputs,
            texts,
            part.members,
            part.parts,
            part.training,
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


def _network(name: str, config: ClassifierConfig, encoder: SentenceEncoder, features: int, models: int) -> Network:
    if name == "frozen":
        return MultiLabelHead(encoder.embedding_width + features, models, config.frozen.head)
    return UpperLayers(encoder.transformer, config.tuned_layers, features, models, config.tuned.head)


def _restored(
    name: str, state: dict[str, torch.Tensor], config: ClassifierConfig, encoder: SentenceEncoder, *size: int
) -> nn.Module:
    """A saved member of the ensemble ``name``; ``size`` is the number of features and of models."""
    if name == "lexical":
        return LexicalModel(**state)
    if name == "neighbours":
        return NeighbourVotes(**state)
    network = _network(name, config, encoder, *size)
    network.load_state_dict(state)
    return network.to(encoder.device).eval()


def _inputs(
    name: str,
    config: ClassifierConfig,
    prepared: Sequence[str],
    features: Matrix,
    embeddings: EmbeddingCache,
    progress: bool = False,
) -> Inputs:
    """What the members of the ensemble ``name`` read of the prepared texts."""
    encoder = embeddings.encoder
    if name == "lexical":
        return lexical_inputs(prepared, features)
    if name == "tuned":
        states = TokenStates(encoder, prepared, encoder.layers - config.tuned_layers, encoder.device, progress)
        return TokenInputs(states, torch.from_numpy(features).to(encoder.device))
    lengths = np.ones(len(prepared), dtype=np.int64)
    vectors = torch.from_numpy(embeddings.embed(prepared, progress))
    if name == "neighbours":  # the last pooled layer alone: neighbours are nearer in meaning there
        return VectorInputs(vectors[:, -encoder.width :].contiguous(), lengths)
    scaled = vectors.to(encoder.device) * float(np.sqrt(encoder.width))
    return VectorInputs(torch.cat([scaled, torch.from_numpy(features).to(encoder.device)], dim=1), lengths)


def supports_bfloat16(device: str) -> bool:
    """Whether bfloat16 is faster than float32 there."""
    return device == "cuda" or bool(torch.cpu._is_avx512_bf16_supported())


def _mean_history(ensemble: Ensemble) -> list[EpochLoss]:
    longest = max(len(history) for history in ensemble.histories)
    per_epoch = [[h[i] for h in ensemble.histories if len(h) > i] for i in range(longest)]
    return [
        EpochLoss(i + 1, float(np.mean([e.train for e in losses])), float(np.mean([e.validation for e in losses])))
        for i, losses in enumerate(per_epoch)
    ]


def _embeddings(config: ClassifierConfig, cache: Path | str | EmbeddingCache | None) -> EmbeddingCache:
    if isinstance(cache, EmbeddingCache):
        return cache
    return EmbeddingCache(SentenceEncoder(config.encoder, best_device()), cache)
