"""Settings of the success classifier, and what ``auto`` makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from routing_assets.errors import InvalidInput
from routing_assets.prediction.encoder import EncoderConfig
from routing_assets.prediction.network import HeadConfig
from routing_assets.prediction.training import TrainingConfig

Method = Literal["auto", "frozen", "upper_layers", "finetune"]
Companion = Literal["lexical", "neighbours"]

LEAST_TEXTS_TO_TUNE = 4_000
"""``auto`` leaves the encoder as it is with fewer distinct training texts. Tuned on 2,200 (RouterBench, one split) the
loss was higher than frozen, on 5,300 (emotion) far lower; between these nothing was measured.
"""
TOKENS_PER_SECOND = 2_000
"""Tokens that one CPU core trains per second through three layers, measured on short texts beside other work."""
LONGEST_TRAINING_SECONDS = 600
GPU_BATCH_FACTOR = 4
TUNED_PARTS = 20


@dataclass(frozen=True)
class EnsembleConfig:
    """How many networks of one kind are trained, and how; each leaves out one of ``parts`` parts of the texts."""

    members: int
    parts: int
    head: HeadConfig
    training: TrainingConfig


@dataclass(frozen=True)
class ClassifierConfig:
    """How the classifier is trained.

    ``method``: "frozen" trains heads on frozen embeddings; "upper_layers" tunes the encoder's upper ``tuned_layers`` on
    cached states of the layers below, "finetune" all its layers. Either is stacked with ``companions``, which read the
    words and the neighbours. "auto" chooses by device and amount of text. ``head``, ``training`` and ``members``
    belong to the frozen ensemble; ``training.seed`` is the seed of everything. ``threads``: see
    :func:`~routing_assets.prediction.threads.use_threads`.
    """

    method: Method = "auto"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=lambda: HeadConfig(hidden=128, dropout=0.5))
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=15, patience=4))
    members: int = 5
    companions: tuple[Companion, ...] = ("lexical", "neighbours")
    tuned_layers: int = 3
    tuned_head: HeadConfig = field(default_factory=lambda: HeadConfig(hidden=0, dropout=0.2))
    tuned_training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=3, patience=2, batch_size=32, learning_rate=2e-3, encoder_learning_rate=3e-4, averaging=0.98
        )
    )
    tuned_members: int = 1
    stacking: bool = True
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.method not in ("auto", "frozen", "upper_layers", "finetune"):
            raise InvalidInput(
                f"unknown method '{self.method}'",
                source="classifier.method",
                remedy="Use auto, frozen, upper_layers or finetune",
            )

    @property
    def ensembles(self) -> tuple[str, ...]:
        """Names of the ensembles that the (resolved) method trains."""
        return ("frozen" if self.method == "frozen" else "tuned", *self.companions)

    @property
    def frozen(self) -> EnsembleConfig:
        """Heads on frozen embeddings."""
        return EnsembleConfig(self.members, self.members, self.head, self.training)

    @property
    def tuned(self) -> EnsembleConfig:
        """Networks whose upper layers are trained too; each leaves out a twentieth of the texts: they need the rest."""
        training = replace(self.tuned_training, seed=self.training.seed)
        return EnsembleConfig(self.tuned_members, TUNED_PARTS, self.tuned_head, training)

    def resolved(self, method: Method, layers: int, device: str) -> ClassifierConfig:
        """These settings with ``auto`` replaced by what was chosen for an encoder of ``layers`` layers.

        On a GPU the batches of tuned networks are larger, and their rates with the square root of that.
        """
        tuned = layers if method == "finetune" else min(self.tuned_layers, layers)
        training = self.tuned_training
        if device == "cuda" and self.method == "auto":
            training = replace(
                training,
                batch_size=training.batch_size * GPU_BATCH_FACTOR,
                learning_rate=training.learning_rate * GPU_BATCH_FACTOR**0.5,
                encoder_learning_rate=training.encoder_learning_rate * GPU_BATCH_FACTOR**0.5,
            )
        return replace(self, method=method, tuned_layers=tuned, tuned_training=training)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClassifierConfig:
        """Inverse of :func:`dataclasses.asdict` after a journey through JSON."""
        encoder = EncoderConfig(**(values["encoder"] | {"pooled_layers": tuple(values["encoder"]["pooled_layers"])}))
        heads = {name: HeadConfig(**values[name]) for name in ("head", "tuned_head")}
        trainings = {name: TrainingConfig(**values[name]) for name in ("training", "tuned_training")}
        companions = tuple(values["companions"])
        return cls(**(values | heads | trainings | {"encoder": encoder, "companions": companions}))


def choose_method(config: ClassifierConfig, texts: int, tokens: int, device: str) -> tuple[Method, str]:
    """The method for ``texts`` distinct training texts of ``tokens`` tokens in all, and why, in words."""
    if config.method != "auto":
        return config.method, f"{config.method}: set by configuration"
    if texts < LEAST_TEXTS_TO_TUNE:
        few = f"{texts:,} distinct training texts are too few to tune the encoder (from {LEAST_TEXTS_TO_TUNE:,})"
        return "frozen", f"frozen: {few}"
    if device == "cuda":
        return "finetune", f"finetune: {texts:,} distinct training texts and a GPU"
    seconds = config.tuned_members * config.tuned_training.epochs * tokens / TOKENS_PER_SECOND
    estimate = (
        f"about {seconds / 60:.0f} minutes for {texts:,} distinct training texts, {tokens:,} tokens, on one CPU core"
    )
    if seconds > LONGEST_TRAINING_SECONDS:
        return "frozen", f"frozen: tuning the upper layers would take {estimate}; set method to upper_layers to do it"
    return "upper_layers", f"upper_layers: {estimate}"
