"""Encoding on the cores of one machine: threads that share each step, threads with steps of their own, and processes.

``pytest -m benchmark -s tests/benchmarks/local_workers_test.py``, all sides in turn, in one run. On a busy machine look
at the seconds of the processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import joblib
import numpy as np
import pytest
import torch

from routing_assets.datasets.simulated import simulate
from routing_assets.engine import LocalEngine
from routing_assets.prediction.encoder import encoder as encoder_module
from routing_assets.prediction.encoder.encoder import SentenceEncoder, Step
from routing_assets.prediction.encoder.threads import side_by_side

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
TEXTS, ROUNDS, PART = 1024, 2, 128


@cache
def encoder() -> SentenceEncoder:
    return SentenceEncoder(device="cpu")


def embedded(texts: list[str]) -> np.ndarray:
    return encoder().embed(texts)


def shared(work: Callable[[Iterator[Step]], None], steps: Sequence[Step]) -> None:
    """All threads share each step, as torch does by itself."""
    work(iter(steps))


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of the processor in this process."""
    start, spent = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - spent


def test_threads_with_steps_of_their_own_encode_faster_than_threads_that_share_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores = joblib.cpu_count()
    if cores < 2:
        pytest.skip("one core")
    texts = list(simulate("r1_math", size=TEXTS, seed=0).instruction)
    parts = [texts[start : start + PART] for start in range(0, TEXTS, PART)]
    engine = LocalEngine(workers=cores)

    def on_threads(number: int, divide: Callable[..., None]) -> list[np.ndarray]:
        torch.set_num_threads(number)
        monkeypatch.setattr(encoder_module, "side_by_side", divide)
        return [embedded(texts)]

    sides: dict[str, Callable[[], list[np.ndarray]]] = {
        "one thread": lambda: on_threads(1, side_by_side),
        f"{cores} threads that share each step": lambda: on_threads(cores, shared),
        f"{cores} threads with steps of their own": lambda: on_threads(cores, side_by_side),
        f"{cores} processes of one thread": lambda: list(engine.map(embedded, parts)),
    }
    values = [np.concatenate(side()) for side in sides.values()]  # and all is warm
    for other in values[1:]:
        assert np.abs(other - values[0]).max() < 1e-5
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            taken[name].append(seconds(side))
    rates = {name: TEXTS / min(clock for clock, _ in rounds) for name, rounds in taken.items()}
    for (name, rate), value in zip(rates.items(), values, strict=True):
        spent = f"{min(spent for _, spent in taken[name]):.1f} s of the processor" * ("processes" not in name)
        print(f"\n{name}: {rate:.0f} texts/s {spent}, same bits: {np.array_equal(value, values[0])}")
    _, within, own, _ = rates.values()
    assert own > within
