"""Where the real data lies; tests that need it skip when it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of measured outcomes: $ROUTING_DATA, or shared/data beside the repository."""
    path = Path(os.environ.get("ROUTING_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"there is no real data in {path}; set ROUTING_DATA")
    return path
