"""Encoding on the cores of one machine: one process with all of them, against processes of one thread each.

``pytest -m benchmark -s tests/benchmarks/local_workers_test.py``, both sides in turn, in one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import joblib
import numpy as np
import pytest
import torch

from routing_assets.datasets.simulated import simulate
from routing_assets.engine import LocalEngine
from routing_assets.prediction.encoder.encoder import SentenceEncoder

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
TEXTS, ROUNDS, PART = 2048, 3, 128


@cache
def encoder() -> SentenceEncoder:
    return SentenceEncoder(device="cpu")


def embedded(texts: list[str]) -> np.ndarray:
    return encoder().embed(texts)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_processes_of_one_thread_encode_faster_than_one_process_of_many() -> None:
    cores = joblib.cpu_count()
    if cores < 2:
        pytest.skip("one core")
    texts = list(simulate("r1_math", size=TEXTS, seed=0).instruction)
    parts = [texts[start : start + PART] for start in range(0, TEXTS, PART)]
    engine = LocalEngine(workers=cores)
    torch.set_num_threads(cores)
    embedded(parts[0])
    warm = list(engine.map(embedded, parts))
    one, many = [], []
    for _ in range(ROUNDS):
        one.append(seconds(lambda: [embedded(part) for part in parts]))
        many.append(seconds(lambda: list(engine.map(embedded, parts))))
    rates = [TEXTS / min(one), TEXTS / min(many)]
    print(f"\n{cores} cores: one process {rates[0]:.0f} texts/s, {cores} processes {rates[1]:.0f} texts/s")
    print(f"rounds: one {[f'{s:.1f}' for s in one]} s, many {[f'{s:.1f}' for s in many]} s")
    assert np.abs(np.concatenate(warm) - np.concatenate([embedded(part) for part in parts])).max() < 1e-5
    assert rates[1] > rates[0]
