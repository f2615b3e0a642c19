"""The instance file for production is valid for Dagster, asks for its secrets, and runs on a real Postgres."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from routing_assets.home import DAGSTER_YAML

PRODUCTION = DAGSTER_YAML.with_name("dagster_production.yaml")
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SETTINGS = ("HOST", "PORT", "DB", "USERNAME", "PASSWORD")


@pytest.mark.parametrize("file", [DAGSTER_YAML, PRODUCTION], ids=lambda file: file.name)
def test_dagster_accepts_the_file(file: Path) -> None:
    result = validate_config(dagster_instance_config_schema(), yaml.safe_load(file.read_text()))
    assert result.success, result.errors


def test_no_secret_stands_in_the_file() -> None:
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
        run_job(instance, "train_router", ops=TRAINING)
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS]
        assert instance.event_log_storage.get_concurrency_info("training").active_slot_count == 0


TRAINING = {
    "labelled_instructions": {"labels": "simulated:r1_math", "size": 400},
    "model_catalog": {"catalog": "simulated:r1_math"},
    "success_classifier": {"method": "frozen"},
    "router": {"ece_limit": 1.0, "ece_tolerance": 1.0},
}
