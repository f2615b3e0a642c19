"""A Postgres of the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SETTINGS = ("HOST", "PORT", "DB", "USERNAME", "PASSWORD")


@pytest.fixture
def postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A Postgres of our own on loopback; skipped where there is none."""
    pytest.importorskip("dagster_postgres", reason="routing_assets[production] is not installed")
    if not BINARIES:
        pytest.skip("no Postgres on this machine")
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder, port = Path("/tmp") / f"pg-{os.getpid()}", 55_000 + os.getpid() % 5_000
    folder.mkdir()
    if as_postgres:
        shutil.chown(folder, "postgres")

    def command(name: str, *arguments: str) -> None:
        program = str(BINARIES[-1] / name)
        subprocess.run([*as_postgres, program, *arguments], check=True, capture_output=True, cwd="/tmp")

    try:
        (tmp_path / "password").write_text("of the test")
        os.chmod(tmp_path, 0o755)
        command("initdb", "-D", str(folder / "data"), "-U", "dagster", "--auth=trust")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        command("pg_ctl", "-D", str(folder / "data"), "-o", options, "-l", str(folder / "log"), "-w", "start")
        values = ("127.0.0.1", str(port), "postgres", "dagster", "of the test")
        for name, value in zip(SETTINGS, values, strict=True):
            monkeypatch.setenv(f"DAGSTER_PG_{name}", value)
        yield port
    finally:
        command("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder)
