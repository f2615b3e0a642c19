from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import joblib
import pytest
import torch

from routing_assets.prediction.encoder.threads import one_thread, side_by_side, use_threads


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_all_cores_are_used_unless_a_number_or_the_environment_says_otherwise(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    use_threads(1)
    assert torch.get_num_threads() == 1
    use_threads()
    assert torch.get_num_threads() == joblib.cpu_count()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    torch.set_num_threads(3)
    use_threads()
    assert torch.get_num_threads() == 3
    use_threads(2)
    assert torch.get_num_threads() == 2


def test_one_thread_gives_the_others_back_even_after_an_error() -> None:
    torch.set_num_threads(2)

    def fail() -> None:
        with one_thread():
            assert torch.get_num_threads() == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [1, 3])
def test_each_step_is_done_once_by_one_thread(threads: int) -> None:
    torch.set_num_threads(threads)
    done, workers = [], set()
    together = threading.Barrier(threads, timeout=60)

    def work(left: Iterator[int]) -> None:
        together.wait()
        for step in left:
            assert torch.get_num_threads() == 1
            workers.add(threading.get_ident())
            done.append(step)
            time.sleep(0.001)

    side_by_side(work, range(50))
    assert sorted(done) == list(range(50))
    assert len(workers) == threads
    assert torch.get_num_threads() == threads


def test_an_error_in_one_step_arrives_and_ends_the_others() -> None:
    torch.set_num_threads(2)
    done = []

    def work(left: Iterator[int]) -> None:
        for step in left:
            if step == 0:
                raise ValueError("step 0")
            done.append(step)
            time.sleep(0.01)

    with pytest.raises(ValueError, match="step 0"):
        side_by_side(work, range(1_000))
    assert len(done) < 1_000
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(given: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    show = "import sys, os, routing_assets; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    shown = subprocess.run([sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == expected
