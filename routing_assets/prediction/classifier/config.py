"""Settings of the success classifier, and what ``auto`` chooses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.classifier.network import HeadConfig
from routing_assets.prediction.classifier.training import TrainingConfig
from routing_assets.prediction.encoder.encoder import EncoderConfig

Method = Literal["auto", "frozen", "upper_layers", "finetune"]
Companion = Literal["lexical", "neighbours"]

LEAST_TEXTS_TO_TUNE = 400
"""With fewer distinct training texts ``auto`` does not tune the encoder: they are too few for a pilot."""
TEXTS_WITHOUT_PILOT = 4_000
"""With fewer distinct training texts ``auto`` asks a pilot (``pilot.py``) whether tuning pays."""
LAYER_TOKENS_PER_SECOND = 6_000
"""Tokens times layers that one CPU core trains per second at MiniLM's width: 7,500 alone, less beside other work."""
WIDTH = 384
LONGEST_TRAINING_SECONDS = 600
LEAST_TUNED_LAYERS = 3
"""Where training would take too long, ``auto`` tunes fewer layers, but at least this many, then for fewer epochs."""
MOST_TUNED_MEMBERS, TUNED_PARTS_OF_FEW = 3, 10
"""For few texts ``auto`` trains up to three networks, and each leaves out another tenth of the texts: what one network
leaves out would be too little to calibrate on, and few texts take little time.
"""
TUNED_MEMBERS_ON_GPU = 5
"""More networks had the same log-loss on the emotion data; on a CPU, two networks routed no better than one."""
STEPS_PER_EPOCH, LEAST_BATCH, LARGEST_BATCH_ON_GPU = 160, 8, 128
"""The batch size is chosen so that an epoch has about 160 steps. Fewer steps cost log-loss: .01 with 40 instead of 160
steps on 5,300 texts, .017 with 17 instead of 67 steps on 540 texts.
"""


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
    words and the neighbours. "auto" chooses by device, amount of text and, for few texts, a pilot. ``head``,
    ``training`` and ``members`` belong to the frozen ensemble; ``training.seed`` is the seed of everything.
    ``threads``: see :func:`~routing_assets.prediction.encoder.threads.use_threads`.
    """

    method: Method = "auto"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=lambda: HeadConfig(hidden=128, dropout=0.5))
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=15, patience=4))
    members: int = 5
    companions: tuple[Companion, ...] = ("lexical", "neighbours")
    tuned_layers: int = 5
    tuned_head: HeadConfig = field(default_factory=lambda: HeadConfig(hidden=0, dropout=0.2))
    tuned_training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=4, patience=2, batch_size=32, learning_rate=2e-3, encoder_learning_rate=3e-4, averaging=0.98
        )
    )
    tuned_members: int = 1
    tuned_parts: int = 20
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
        """Networks whose upper layers are trained too."""
        training = replace(self.tuned_training, seed=self.training.seed)
        return EnsembleConfig(self.tuned_members, self.tuned_parts, self.tuned_head, training)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClassifierConfig:
        """Inverse of :func:`dataclasses.asdict` after a round trip through JSON."""
        encoder = EncoderConfig(**(values["encoder"] | {"pooled_layers": tuple(values["encoder"]["pooled_layers"])}))
        heads = {name: HeadConfig(**values[name]) for name in ("head", "tuned_head")}
        trainings = {name: TrainingConfig(**values[name]) for name in ("training", "tuned_training")}
        companions = tuple(values["companions"])
        return cls(**(values | heads | trainings | {"encoder": encoder, "companions": companions}))


def resolve(
    config: ClassifierConfig, texts: int, tokens: int, layers: int, width: int, device: str
) -> tuple[ClassifierConfig, str]:
    """The settings with ``auto`` replaced, and why, in words.

    ``texts`` and ``tokens`` count the distinct training texts and what is read of them; ``layers``, ``width`` and
    ``device`` are the encoder's.
    """
    depth = min(config.tuned_layers, layers)
    if config.method != "auto":
        depth = layers if config.method == "finetune" else depth
        return replace(config, tuned_layers=depth), f"{config.method}: set by configuration"
    frozen = replace(config, method="frozen")
    if texts < LEAST_TEXTS_TO_TUNE:
        few = f"{texts:,} distinct training texts are too few to tune the encoder (from {LEAST_TEXTS_TO_TUNE:,})"
        return frozen, f"frozen: {few}"
    if (config.tuned_members, config.tuned_parts) == (ClassifierConfig.tuned_members, ClassifierConfig.tuned_parts):
        members, parts = _networks(texts, device)
        config = replace(config, tuned_members=members, tuned_parts=parts)
    if device == "cuda":
        everything = replace(config, method="finetune", tuned_layers=layers)
        return everything, f"finetune: {config.tuned_members} networks, as there is a GPU; {texts:,} distinct texts"
    training = config.tuned_training
    seconds_per_layer_and_epoch = config.tuned_members * tokens * (width / WIDTH) ** 2 / LAYER_TOKENS_PER_SECOND
    affordable = int(LONGEST_TRAINING_SECONDS / max(seconds_per_layer_and_epoch, 1e-9))
    tuned_layers = min(depth, max(LEAST_TUNED_LAYERS, affordable // training.epochs))
    epochs = min(training.epochs, max(1, affordable // tuned_layers))
    minutes = tuned_layers * epochs * seconds_per_layer_and_epoch / 60
    estimate = (
        f"the upper {tuned_layers} layers in {epochs} epochs take about {minutes:.0f} minutes of one CPU core for "
        f"{texts:,} distinct training texts, {tokens:,} tokens"
    )
    if tuned_layers * epochs > affordable:
        return frozen, f"frozen: tuning {estimate}; set method to upper_layers to do it"
    tuned = replace(
        config, method="upper_layers", tuned_layers=tuned_layers, tuned_training=replace(training, epochs=epochs)
    )
    return tuned, f"upper_layers: {estimate}"


def _networks(texts: int, device: str) -> tuple[int, int]:
    """How many networks are tuned if time allows, and the number of parts of the texts; each leaves out one."""
    few = texts <= TEXTS_WITHOUT_PILOT // 2
    parts = TUNED_PARTS_OF_FEW if few else ClassifierConfig.tuned_parts
    if device == "cuda":
        return TUNED_MEMBERS_ON_GPU, parts
    return min(MOST_TUNED_MEMBERS, TEXTS_WITHOUT_PILOT // texts) if few else ClassifierConfig.tuned_members, parts


def with_enough_steps(training: TrainingConfig, texts: int, device: str) -> TrainingConfig:
    """The settings with a batch size that suits the number of ``texts``.

    On a CPU a batch is at most ``batch_size``. Where a GPU takes larger ones, learning rates grow with the square root
    of the ratio.
    """
    largest = max(training.batch_size, LARGEST_BATCH_ON_GPU) if device == "cuda" else training.batch_size
    size = max(min(LEAST_BATCH, largest), min(largest, texts // STEPS_PER_EPOCH))
    faster = max(1.0, size / training.batch_size) ** 0.5
    return replace(
        training,
        batch_size=size,
        learning_rate=training.learning_rate * faster,
        encoder_learning_rate=training.encoder_learning_rate * faster,
    )
