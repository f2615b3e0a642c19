"""Texts encoded per second of one core, all sides in turn: ``pytest -m benchmark -s tests/benchmarks/encoder_test.py``.

Run it on an idle core with ``OMP_NUM_THREADS=1``. Each test prints rows of a Markdown table; seconds are of the
processor, the best of some rounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
from routing_assets.prediction.encoder.precision import supports_bfloat16

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
WORDS = ("value", "chord", "city", "train", "river", "price", "function", "compile", "solve", "equation", "prime")
ROUNDS = 3


@pytest.mark.parametrize(
    ("kind", "words", "texts", "max_tokens"),
    [("short", 20, 768, 256), ("long", 300, 192, 256), ("longest", 800, 64, 512)],
)
def test_encoding_against_sentence_transformers(kind: str, words: int, texts: int, max_tokens: int) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    sample = [" ".join(rng.choice(WORDS, rng.integers(words // 2, words * 3 // 2))) for _ in range(texts)]
    ours = SentenceEncoder(EncoderConfig(max_tokens=max_tokens), "cpu")
    theirs = sentence_transformers.SentenceTransformer(str(ours.directory), device="cpu")
    theirs.max_seq_length = ours.config.max_tokens
    sides: dict[str, Callable[[list[str]], object]] = {
        "sentence-transformers": lambda part: theirs.encode(part, batch_size=64, show_progress_bar=False),
        "ours, fp32": ours.embed,
    }
    if supports_bfloat16("cpu"):
        sides["ours, bf16"] = SentenceEncoder(EncoderConfig(max_tokens=max_tokens, precision="bf16"), "cpu").embed
    else:
        print(f"\n| {kind} | ours, bf16 | not measured: this processor has no bf16 | |")
    best = dict.fromkeys(sides, math.inf)
    for encode in sides.values():
        encode(sample[:32])
    for _ in range(ROUNDS):
        for name, encode in sides.items():
            start = time.process_time()
            encode(sample)
            best[name] = min(best[name], time.process_time() - start)
    base = best["sentence-transformers"]
    for name, seconds in best.items():
        print(f"\n| {kind} | {name} | {texts / seconds:.1f} texts/s/core | {base / seconds:.2f} x |", flush=True)
    if "ours, bf16" in best:
        assert base / best["ours, bf16"] > 1.5
