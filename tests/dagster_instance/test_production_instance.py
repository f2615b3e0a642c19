"""The instance file for production is valid for Dagster, asks for its secrets, and runs on a real Postgres."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from helpers import SMALL_TRAINING

from routing_assets.home import DAGSTER_YAML

PRODUCTION = DAGSTER_YAML.with_name("dagster_production.yaml")
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SETTINGS = ("HOST", "PORT", "DB", "USERNAME", "PASSWORD")


def read_by_dagster(content: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raises :class:`dagster.DagsterInvalidConfigError` where Dagster does not know an entry of an instance's file.

    It checks the whole file before it imports or opens the storage, which may be absent here.
    """
    (folder / "dagster.yaml").write_text(content)
    for name in SETTINGS:
        monkeypatch.setenv(f"DAGSTER_PG_{name}", "1")
    monkeypatch.setenv("DAGSTER_COMPUTE_LOGS", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    try:
        dg.DagsterInstance.from_config(str(folder)).dispose()
    except Exception as error:
        if isinstance(error, dg.DagsterInvalidConfigError) or "postgres" not in content:
            raise


@pytest.mark.parametrize("file", [DAGSTER_YAML, PRODUCTION], ids=lambda file: file.name)
def test_dagster_accepts_the_file_and_no_misspelt_one(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = file.read_text()
    read_by_dagster(content, tmp_path, monkeypatch)
    with pytest.raises(dg.DagsterInvalidConfigError, match="granularty"):
        read_by_dagster(content.replace("granularity", "granularty"), tmp_path, monkeypatch)


def test_the_file_holds_no_secret() -> None:
    database = yaml.safe_load(PRODUCTION.read_text())["storage"]["postgres"]["postgres_db"]
    assert {name for name, value in database.items() if list(value) != ["env"]} == {"scheme"}


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


@pytest.mark.slow
def test_a_router_is_trained_on_postgres(postgres: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dagster as dg

    from routing_assets.cli.run_job import instance_of, run_job
    from routing_assets.home import Home

    home = Home(tmp_path / "home")
    home.dagster.mkdir(parents=True)
    shutil.copy(PRODUCTION, home.dagster / "dagster.yaml")
    monkeypatch.setenv("ROUTING_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    monkeypatch.setenv("DAGSTER_COMPUTE_LOGS", str(tmp_path / "logs"))
    with instance_of(home) as instance:
        assert "Postgres" in type(instance.run_storage).__name__
        run_job(instance, "train_router", ops=SMALL_TRAINING)
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS]
        assert instance.event_log_storage.get_concurrency_info("training").active_slot_count == 0
