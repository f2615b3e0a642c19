"""A trained installation, batch files, and the table of faults survived."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from installation import Installation, write_batches

TABLE = Path(".routing/faults.md")
_rows: list[tuple[str, str]] = []


@pytest.fixture(scope="session")
def trained_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a trained installation; made in this process, so that forked ones find everything imported."""
    with pytest.MonkeyPatch.context() as environment:
        installation = Installation(tmp_path_factory.mktemp("faults") / "home")
        environment.setenv("ROUTING_HOME", str(installation.home.root))
        environment.setenv("DAGSTER_HOME", str(installation.home.dagster))
        installation.train()
        trained = tmp_path_factory.mktemp("trained") / "home"
        shutil.copytree(installation.home.root, trained)
        installation.route(write_batches(tmp_path_factory.mktemp("warm_up"), [20])[0])
        return trained


@pytest.fixture
def installation(trained_root: Path, tmp_path: Path) -> Installation:
    """A private copy of it."""
    return Installation.copy_of(trained_root, tmp_path / "home")


@pytest.fixture(scope="session")
def batch_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twenty batches of 20 to 200 instructions."""
    return write_batches(tmp_path_factory.mktemp("batches"), [20 + 180 * (i % 5) // 4 for i in range(20)])


@pytest.fixture(scope="session")
def report() -> list[tuple[str, str]]:
    """Rows ``fault or load, reached`` of the table that is printed in the end."""
    return _rows


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _rows:
        return
    table = "\n".join(
        ["| fault or load | reached |", "|---|---|", *(f"| {fault} | {reached} |" for fault, reached in _rows)]
    )
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table + "\n", encoding="utf-8")
    terminalreporter.write_line(f"\n{table}\n\nwritten to {TABLE}")
