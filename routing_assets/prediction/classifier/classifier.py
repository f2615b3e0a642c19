"""The success classifier: P(success) of every model on an instruction, from a sentence encoder with multi-label
heads.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.classifier.added_model import AddedModel
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.ensemble import Inputs, TokenInputs, VectorInputs, mean_logits
from routing_assets.prediction.classifier.features import InstructionFeatures
from routing_assets.prediction.classifier.lexical import LexicalModel, lexical_inputs
from routing_assets.prediction.classifier.neighbours import NeighbourVotes
from routing_assets.prediction.classifier.network import MultiLabelHead, Network, UpperLayers
from routing_assets.prediction.classifier.stacking import Stacking
from routing_assets.prediction.classifier.training import EpochLoss
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import SentenceEncoder, best_device
from routing_assets.prediction.encoder.precision import Precision, weights_cast_once
from routing_assets.prediction.encoder.text import TextPreparation
from routing_assets.prediction.encoder.threads import use_threads
from routing_assets.prediction.encoder.token_states import TokenStates

Matrix = NDArray[np.float32]
Texts = Sequence[str] | NDArray[np.object_]
Tasks = Sequence[str | None] | NDArray[np.object_] | None

PREDICTED_AT_ONCE = 8_192


class SuccessClassifier:
    """A trained classifier. Make one with :func:`train_classifier` or :meth:`load`.

    ``ensembles`` maps "frozen", "tuned", "lexical" and "neighbours" to their members. ``out_of_fold`` are the stacked
    logits (T, K) of the T training rows by members that had not seen them, None when nothing was left out. ``history``
    has the losses per epoch, averaged over the networks; ``why`` says what ``auto`` chose.
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

    @property
    def precision(self) -> Precision:
        """The precision in which the encoder scores."""
        return self.config.encoder.precision

    @property
    def reads_embeddings(self) -> bool:
        """Whether any ensemble reads sentence embeddings; "tuned" reads tokens, and "lexical" words."""
        return bool(self.ensembles.keys() & {"frozen", "neighbours"})

    def with_precision(self, precision: Precision) -> SuccessClassifier:
        """This classifier, scoring in ``precision``. The trained weights stay the same."""
        other = copy.copy(self)
        other.config = replace(self.config, encoder=replace(self.config.encoder, precision=precision))
        other._embeddings = embedding_cache(other.config, self._embeddings)
        return other

    def logits(self, instruction: Texts, task: Tasks = None) -> Matrix:
        """(N, K) float32 log-odds of success, before any calibration."""
        panel = self.panel_logits(instruction, task)
        return np.column_stack([panel, *(model.logits(panel) for model in self.added)])

    def embeddings(self, instruction: Texts) -> Matrix:
        """(N, D) sentence embeddings of the prepared texts, from the cache where it has them."""
        return self._embeddings.embed(self.preparation.prepare(list(instruction)))

    def panel_logits(self, instruction: Texts, task: Tasks = None) -> Matrix:
        """Logits of the trained models alone; those of added models are computed from them."""
        with weights_cast_once(self._embeddings.encoder.device):
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
        encoder, embedded = self._embeddings.encoder, cache(partial(self._embeddings.embed, prepared))
        each = []
        for name, members in self.ensembles.items():
            first = members[0]
            characters = isinstance(first, LexicalModel) and first.reads_characters
            inputs = member_inputs(name, self.config, prepared, features, encoder, embedded, characters=characters)
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
        features = InstructionFeatures.from_dict(about["features"])
        embeddings = embedding_cache(config, embeddings_cache)
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


def new_network(name: str, config: ClassifierConfig, encoder: SentenceEncoder, features: int, models: int) -> Network:
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
    network = new_network(name, config, encoder, *size)
    network.load_state_dict(state)
    return network.to(encoder.device).eval()


def member_inputs(
    name: str,
    config: ClassifierConfig,
    prepared: Sequence[str],
    features: Matrix,
    encoder: SentenceEncoder,
    embedded: Callable[[], Matrix],
    progress: bool = False,
    *,
    characters: bool = True,
) -> Inputs:
    """Inputs of the ensemble ``name``; ``characters``: the lexical model also reads character sequences.

    Args:
        embedded: gives the embeddings of the prepared texts.
    """
    if name == "lexical":
        return lexical_inputs(prepared, features, characters=characters)
    if name == "tuned":
        states = TokenStates(encoder, prepared, encoder.layers - config.tuned_layers, encoder.device, progress)
        return TokenInputs(states, torch.from_numpy(features).to(encoder.device), encoder.config.precision)
    vectors = torch.from_numpy(embedded())
    if name == "neighbours":  # the last pooled layer alone: neighbours are nearer in meaning there
        return VectorInputs(vectors[:, -encoder.width :])
    vectors, beside = vectors.to(encoder.device), torch.from_numpy(features).to(encoder.device)
    return VectorInputs(vectors, float(np.sqrt(encoder.width)), beside)


def embedding_cache(config: ClassifierConfig, kept: Path | str | EmbeddingCache | None) -> EmbeddingCache:
    """The given cache, or a new one in the given directory, for an encoder of the configured precision."""
    if not isinstance(kept, EmbeddingCache):
        return EmbeddingCache(SentenceEncoder(config.encoder, best_device()), kept)
    return kept.with_precision(config.encoder.precision)
