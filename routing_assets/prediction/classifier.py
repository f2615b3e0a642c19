"""The success classifier: P(success) of every model on an instruction, from a sentence encoder with a multi-label head."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.errors import InvalidInput
from routing_assets.prediction.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder import EncoderConfig, SentenceEncoder
from routing_assets.prediction.features import InstructionFeatures, fit_features
from routing_assets.prediction.network import HeadConfig, MultiLabelHead
from routing_assets.prediction.text import TextPreparation, fit_text_preparation
from routing_assets.prediction.training import EpochLoss, TrainingConfig, train_network

Matrix = NDArray[np.float32]
Method = Literal["auto", "frozen"]


@dataclass(frozen=True)
class ClassifierConfig:
    """How the classifier is trained; ``method`` auto chooses by device and amount of data and says why."""

    method: Method = "auto"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    threads: int | None = None


class SuccessClassifier:
    """A trained classifier. Make one with :func:`train_classifier` or :meth:`load`."""

    def __init__(
        self,
        models: Sequence[str],
        config: ClassifierConfig,
        preparation: TextPreparation,
        features: InstructionFeatures,
        head: MultiLabelHead,
        history: Sequence[EpochLoss],
        why: str,
        embeddings: EmbeddingCache,
    ) -> None:
        self.models = tuple(models)
        self.config, self.preparation, self.features, self.head = config, preparation, features, head
        self.history, self.why = tuple(history), why
        self._embeddings = embeddings

    @torch.inference_mode()
    def logits(
        self, instruction: Sequence[str] | NDArray[np.object_], task: Sequence[str | None] | None = None
    ) -> Matrix:
        """(N, K) float32 log-odds of success, before any calibration."""
        if not len(instruction):
            return np.empty((0, len(self.models)), dtype=np.float32)
        prepared = self.preparation.prepare(instruction)
        inputs = _inputs(prepared, list(instruction), task, self.features, self._embeddings)
        return self.head(inputs).numpy().astype(np.float32)  # type: ignore[no-any-return]

    def save(self, directory: Path | str) -> None:
        """Write weights (safetensors) and everything else (JSON) into ``directory``."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        save_file(self.head.state_dict(), directory / "classifier.safetensors")
        about = {
            "models": self.models,
            "config": asdict(self.config),
            "preparation": self.preparation.to_dict(),
            "features": asdict(self.features),
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
        config = _config_from_dict(about["config"])
        features = InstructionFeatures(**{name: tuple(values) for name, values in about["features"].items()})
        embeddings = _embeddings(config.encoder, embeddings_cache)
        head = MultiLabelHead(embeddings.encoder.embedding_width + features.width, len(about["models"]), config.head)
        head.load_state_dict(load_file(directory / "classifier.safetensors"))
        return cls(
            about["models"],
            config,
            TextPreparation.from_dict(about["preparation"]),
            features,
            head.eval(),
            [EpochLoss(**epoch) for epoch in about["history"]],
            about["why"],
            embeddings,
        )


def train_classifier(
    labels: LabelledInstructions,
    train: NDArray[np.integer],
    validation: NDArray[np.integer],
    config: ClassifierConfig = ClassifierConfig(),
    *,
    embeddings_cache: Path | str | EmbeddingCache | None = None,
    checkpoint: Path | str | None = None,
    progress: bool = False,
) -> SuccessClassifier:
    """Train on the rows ``train`` of ``labels``; ``validation`` rows stop the training. No other row is read.

    ``embeddings_cache`` is a directory (or a cache shared between calls); ``checkpoint`` a directory from which an interrupted run
    goes on.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    rows = np.concatenate([train, validation])
    used = labels.take(rows)
    in_training = np.arange(len(train))
    preparation = fit_text_preparation(used.instruction[in_training])
    prepared = preparation.prepare(used.instruction)
    task = None if used.task is None else list(used.task)
    features = fit_features(prepared[: len(train)], preparation, None if task is None else task[: len(train)])
    embeddings = _embeddings(config.encoder, embeddings_cache)
    inputs = _inputs(prepared, list(used.instruction), task, features, embeddings, progress)
    success, weight = label_tensors(used.success)
    torch.manual_seed(config.training.seed)
    head = MultiLabelHead(inputs.shape[1], len(labels.models), config.head)
    head.start_at(success_rates(used.success[in_training]))
    history = train_network(
        head,
        lambda batch: head(inputs[batch]),
        lambda rng, size: iter(np.array_split(rng.permutation(in_training), max(1, len(in_training) // size))),
        (success, weight),
        np.arange(len(train), len(rows)),
        [{"params": list(head.parameters()), "lr": config.training.learning_rate}],
        config.training,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        progress=progress,
    )
    why = "frozen encoder with a trained head"
    return SuccessClassifier(labels.models, config, preparation, features, head, history, why, embeddings)


def label_tensors(success: Matrix) -> tuple[Tensor, Tensor]:
    """Targets with 0 for missing labels, and weights that mask them."""
    return torch.from_numpy(np.nan_to_num(success)), torch.from_numpy((~np.isnan(success)).astype(np.float32))


def success_rates(success: Matrix) -> NDArray[np.float64]:
    """Mean success of each model, (K,), pulled toward the mean of all models by ten labels' worth."""
    labelled = ~np.isnan(success)
    total = np.nansum(success, axis=0, dtype=np.float64)
    overall = total.sum() / max(1, labelled.sum())
    return np.asarray((total + 10 * overall) / (labelled.sum(0) + 10))


def _inputs(
    prepared: Sequence[str],
    instruction: Sequence[str],
    task: Sequence[str | None] | None,
    features: InstructionFeatures,
    embeddings: EmbeddingCache,
    progress: bool = False,
) -> Tensor:
    """Head inputs: embedding scaled to unit variance per number, then the features."""
    vectors = embeddings.embed(prepared, progress) * float(np.sqrt(embeddings.encoder.width))
    return torch.from_numpy(np.concatenate([vectors, features.matrix(instruction, prepared, task)], axis=1))


def _embeddings(config: EncoderConfig, cache: Path | str | EmbeddingCache | None) -> EmbeddingCache:
    return cache if isinstance(cache, EmbeddingCache) else EmbeddingCache(SentenceEncoder(config), cache)


def _config_from_dict(values: dict[str, Any]) -> ClassifierConfig:
    encoder = values["encoder"] | {"pooled_layers": tuple(values["encoder"]["pooled_layers"])}
    parts = {
        "encoder": EncoderConfig(**encoder),
        "head": HeadConfig(**values["head"]),
        "training": TrainingConfig(**values["training"]),
    }
    return ClassifierConfig(**(values | parts))
