"""An installation with its warehouse."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from routing_assets.home import Home


@pytest.fixture
def home(tmp_path: Path, created_once: Path) -> Home:
    home = Home(tmp_path / "home")
    shutil.copytree(created_once, home.root)
    return home
