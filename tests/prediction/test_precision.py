"""Scoring in bf16: close to fp32, cached separately, and independent of the other texts of a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
from routing_assets.prediction.router import Router, RouterConfig, fit_router

TEXTS = [" ".join(["count the prime days of a river"] * (1 + i % 7)) + f" {i}" for i in range(90)]


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["toy", "default"])
def test_a_text_has_the_same_bits_whatever_is_embedded_with_it(real: bool, toy_encoder: Path) -> None:
    config = EncoderConfig(precision="bf16") if real else EncoderConfig(str(toy_encoder), precision="bf16")
    encoder = SentenceEncoder(config, "cpu")
    together = encoder.embed(TEXTS)
    np.testing.assert_array_equal(encoder.embed(TEXTS[3:4]), together[3:4])
    np.testing.assert_array_equal(
        np.concatenate([encoder.embed(TEXTS[i : i + 13]) for i in range(0, 90, 13)]), together
    )


def test_bf16_is_near_fp32_but_is_kept_apart(toy_encoder: Path) -> None:
    full, half = (SentenceEncoder(EncoderConfig(str(toy_encoder), precision=p), "cpu") for p in ("fp32", "bf16"))
    assert full.fingerprint != half.fingerprint
    a, b = full.embed(TEXTS), half.embed(TEXTS)
    assert 0 < np.abs(a - b).max() < 0.02


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown precision 'int8'"):
        EncoderConfig(precision="int8")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["frozen", "upper_layers"])
def test_a_router_keeps_its_precision_and_its_weights(
    method: str, labels: LabelledInstructions, split: SimpleNamespace, config: ClassifierConfig, tmp_path: Path
) -> None:
    router = fit_router(labels, split, RouterConfig(replace(config, method=method)))  # type: ignore[arg-type]
    texts = list(labels.instruction[split.test])
    before = router.predict(texts).decision
    router.with_precision("bf16").save(tmp_path)
    half = Router.load(tmp_path)
    assert half.precision == "bf16"
    assert 0 < np.abs(half.predict(texts).decision - before).max() < 0.1
    np.testing.assert_array_equal(half.with_precision("fp32").predict(texts).decision, before)
