"""The folder of an installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing_assets.home import Home


def test_the_path_of_a_home_is_absolute_and_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("ROUTING_HOME", "../homes/./one")
    assert Home.from_env().root == tmp_path / "homes" / "one"
    monkeypatch.delenv("ROUTING_HOME")
    assert Home.from_env().root == tmp_path / "work" / ".routing"
