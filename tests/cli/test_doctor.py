"""The doctor names each fault of a home with a remedy, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from routing_assets.cli import doctor as checks
from routing_assets.cli.main import main
from routing_assets.foundation.locks import run_alive
from routing_assets.home import Home
from routing_assets.storage.anchors import Anchors
from routing_assets.storage.journal import Head


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ROUTING_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(checks, "sensors", lambda _: iter(()))  # loads Dagster; tested apart
    return Home.from_env().ready()


def found(home: Home) -> str:
    """What is wrong, except that an empty home has no router."""
    said = [f"{finding.what}: {finding.remedy}" for finding in checks.examine(home)]
    return "\n".join(line for line in said if "no router" not in line)


def aged(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))
    return path


def rejected(home: Home) -> None:
    (home.folders.rejected / "a.csv.reason.txt").write_text("a.csv: it is empty")


def waiting(home: Home) -> None:
    aged(home.folders.inbox / "b.csv")


def claimed(home: Home) -> None:
    aged(home.folders.claimed / "weekly" / "c.csv")
    aged(home.folders.claimed / "weekly")


def lost(home: Home) -> None:
    with run_alive(home.locks, "r1"):
        pass
    (home.locks / "runs" / "r1.lock").touch()


def unfinished(home: Home) -> None:
    (home.folders.outbox / "weekly").mkdir()


def wrong_policy(home: Home) -> None:
    home.policy_file.write_text("budget_fractoin: 0.5\n")


def moved(home: Home) -> None:
    with sqlite3.connect(home.root / "mlflow.db") as database:
        database.execute("create table experiments (name, artifact_location)")
        database.execute("insert into experiments values ('success_classifier', 'file:///elsewhere/mlartifacts')")


def newer(home: Home) -> None:
    with home.warehouse.transaction() as connection:
        connection.execute("insert into schema_versions (number, name, sha256) values (9999, '9999_later', '')")


def older(home: Home) -> None:
    with home.warehouse.transaction() as connection:
        connection.execute("delete from schema_versions where number = 5")


def cut(home: Home) -> None:
    Anchors(home.warehouse.anchors.path).add(Head(7, "f" * 64))


@pytest.mark.parametrize(
    ("fault", "what", "remedy"),
    [
        (rejected, "1 file in .*rejected is refused: a.csv", "mend the file"),
        (waiting, "waiting for over ten minutes: b.csv", "routing-assets route FILE"),
        (claimed, "claimed, but not taken in, for over ten minutes: weekly", "routing-assets ui"),
        (lost, "the process of 1 run died: r1", "run it again"),
        (unfinished, "hand-off of weekly is not finished", "reroute"),
        (wrong_policy, "budget_fractoin", "budget_fraction"),
        (moved, "looks for models in file:///elsewhere", "ln -s"),
        (newer, "has schema 9999_later", "Update routing_assets"),
        (older, "lacks the migrations 0005_gradings", "brings it up to date"),
        (cut, "ends at entry 1, its anchors at 7", "routing-assets audit"),
    ],
)
def test_a_fault_is_named_with_its_remedy(home: Home, fault: Callable[[Home], None], what: str, remedy: str) -> None:
    assert found(home) == ""
    fault(home)
    assert (said := found(home)).count("\n") == 0
    assert re.search(what, said)
    assert remedy in said


def test_a_warehouse_that_another_program_holds_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(*_: object, **__: object) -> None:
        raise duckdb.IOException("Could not set lock on file: Conflicting lock is held in another process")

    monkeypatch.setattr("routing_assets.foundation.attached.attach", held)
    (finding,) = checks.warehouse(home)
    assert "Another program has had the warehouse" in finding.what


def test_a_full_disk_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 2**80)
    (finding,) = checks.disk(home)
    assert "MiB left" in finding.what


def test_a_missing_encoder_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ENCODER", "no_such_package")
    (finding,) = checks.encoder(home)
    assert "pip install" in finding.remedy


def test_a_home_that_does_not_exist_is_named_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTING_HOME", str(tmp_path / "absent"))
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["findings"][0]["what"].startswith("there is no home")
    assert not (tmp_path / "absent").exists()


def test_an_untrained_home_has_no_router(home: Home) -> None:
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "no router is in force\n   Train one: routing-assets train" in result.output
