from __future__ import annotations

import os
import subprocess
import sys

import joblib
import pytest
import torch

from routing_assets.prediction.encoder.threads import one_thread, use_threads


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


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(given: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    show = "import sys, os, routing_assets; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    shown = subprocess.run([sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == expected
