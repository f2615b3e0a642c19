"""Shared by all tests: offline, single-threaded, and with a home of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from absl import logging as absl_logging

from routing_assets.settings import Home

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ |= {"DAGSTER_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
# Dagster closes all log handlers, and that of absl (which ortools brings) closes the stream it was imported under:
# what pytest captures into, unless it is told of another.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty installation."""
    home = Home(tmp_path / "home")
    monkeypatch.setenv("ROUTING_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    return home
