"""Counts the hostile inputs that were refused, for the summary."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from payload import MARK

from routing_assets.home import Home

_refused: list[str] = []


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """No input may run code: the mark that a payload would leave is not there afterwards."""
    monkeypatch.setenv(MARK, str(tmp_path / "a payload was run"))
    yield
    assert not (tmp_path / "a payload was run").exists()


@pytest.fixture
def home(tmp_path: Path, created_once: Path) -> Home:
    """An installation with its warehouse."""
    home = Home(tmp_path / "home")
    shutil.copytree(created_once, home.root)
    return home


@pytest.fixture
def refused(request: pytest.FixtureRequest) -> object:
    """Counts one hostile input when its test passes."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed == failed_before:
        _refused.append(request.node.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _refused:
        terminalreporter.write_line(f"{len(_refused)} hostile inputs, each refused with a reason and kept")
