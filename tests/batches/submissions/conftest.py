"""The providers' batch APIs, served on this machine, and the official SDKs in front of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from batch_apis import START, BatchApis


@pytest.fixture
def apis(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchApis]:
    for sdk in ("openai", "anthropic", "google.genai"):
        pytest.importorskip(sdk, reason="the extra [providers] is not installed")
    with BatchApis(START) as served:
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        yield served
