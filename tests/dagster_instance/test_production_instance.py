"""The instance file for production is valid for Dagster, asks for its secrets, and runs on a real Postgres."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
import yaml
from helpers import SMALL_TRAINING

from routing_assets.home import DAGSTER_YAML

PRODUCTION = DAGSTER_YAML.with_name("dagster_production.yaml")


def read_by_dagster(content: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raises :class:`dagster.DagsterInvalidConfigError` where Dagster does not know an entry of an instance's file.

    It checks the whole file before it imports or opens the storage, which may be absent here.
    """
    (folder / "dagster.yaml").write_text(content)
    for name in ("HOST", "PORT", "DB", "USERNAME", "PASSWORD"):
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
