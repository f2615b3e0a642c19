"""A full disk, a read-only home, a locked database and a jumping clock: a clear failure, nothing lost, and recovery."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import forked
import pytest
from click.testing import CliRunner
from installation import Installation, faults_of_state

from routing_assets.home import Home

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def mount(*arguments: str) -> None:
    """Mount, or skip where this process may not."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """Something mounted on ``folder``."""
    mount(*arguments, str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def said_by(installation: Installation, *arguments: str) -> str:
    """What the command line says when it fails; it must fail, and without a traceback."""
    from routing_assets.cli.main import main

    def run() -> tuple[int, str]:
        os.environ |= {
            "ROUTING_HOME": str(installation.home.root),
            "DAGSTER_HOME": str(installation.home.dagster),
        }
        result = CliRunner().invoke(main, list(arguments))
        return result.exit_code, result.output + (repr(result.exception) if result.exit_code == 1 else "")

    code, said = forked.result_of(run, installation.log)
    assert code == 2, said
    return said


def decisions(home: Home) -> int:

    return len(home.warehouse.fetch("ledger_entries"))


def test_a_disk_that_is_full_while_a_partition_is_written(
    installation: Installation, batch_files: list[Path], report: list[tuple[str, str]]
) -> None:
    first, large = batch_files[0], batch_files[4]
    assert forked.done(lambda: installation.route(first), installation.log)
    folder = installation.home.store.root / "probability_matrix"
    with mounted(folder, "-t", "tmpfs", "-o", "size=8k", "tmpfs"):
        said = said_by(installation, "route", str(large))
        assert "No space left on device" in said
        assert "probability_matrix" in said
        assert list(folder.rglob("*.parquet")) == []
        assert installation.ask(decisions) == 1
        mount("-o", "remount,size=64m", str(folder))
        assert forked.done(lambda: installation.route(large), installation.log)
    assert installation.ask(decisions) == 2
    report.append(
        ("disk full while writing a partition (tmpfs of 8 KB)", f"`{one_line(said)}`; nothing written; then routed")
    )


def test_a_disk_without_a_byte_left(
    trained_root: Path, tmp_path: Path, batch_files: list[Path], report: list[tuple[str, str]]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "-o", "size=256m", "tmpfs"):
        installation = Installation.copy_of(trained_root, disk / "home")
        installation.log = tmp_path / "log"
        assert forked.done(lambda: installation.route(batch_files[0]), installation.log)
        fill(disk / "filler")
        said = said_by(installation, "route", str(batch_files[1]))
        (disk / "filler").unlink()
        assert forked.done(lambda: installation.route(batch_files[1]), installation.log), installation.log.read_text()[
            -3000:
        ]
        assert installation.ask(faults_of_state) == []
    report.append(("disk full to the last byte, databases included", f"`{one_line(said)}`; then routed, no fault"))


def fill(path: Path) -> None:
    """Write until there is no byte left."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - the error is how it ends


def test_a_home_that_is_read_only(
    installation: Installation, batch_files: list[Path], report: list[tuple[str, str]]
) -> None:
    root = installation.home.root
    assert forked.done(lambda: installation.route(batch_files[0]), installation.log)
    with mounted(root, "--bind", str(root)):
        mount("-o", "remount,ro,bind", str(root))
        said = said_by(installation, "route", str(batch_files[1]))
    assert "ead-only" in said or "readonly" in said
    assert forked.done(lambda: installation.route(batch_files[1]), installation.log)
    assert installation.ask(faults_of_state) == []
    report.append(("read-only home", f"`{one_line(said)}`; then routed, no fault"))


def test_an_mlflow_database_that_is_locked(installation: Installation, report: list[tuple[str, str]]) -> None:
    before = installation.ask(router)
    holder = sqlite3.connect(installation.home.root / "mlflow.db")
    holder.execute("begin exclusive")
    labels = ("--labels", "simulated:r1_math", "--catalog", "simulated:r1_math", "--method", "frozen")
    said = said_by(installation, "train", *labels)
    holder.rollback()
    holder.close()
    assert "locked" in said
    assert installation.ask(router) == before
    assert forked.done(lambda: installation.train(seed=2), installation.log)
    assert installation.ask(router) != before
    report.append(("MLflow database locked", f"`{one_line(said)}`; the router before it stays in force; then trained"))


def router(home: Home) -> str:
    from routing_assets.storage.in_force import router_in_force

    return str(router_in_force(home.warehouse)["router_version"])


@pytest.mark.parametrize("jump", ["1 day", "-31 day"], ids=["back a day", "forward a month"])
def test_a_clock_that_jumps(
    installation: Installation, batch_files: list[Path], report: list[tuple[str, str]], jump: str
) -> None:
    """What is in the ledger was written by a clock that is now ``jump`` behind."""
    assert forked.done(lambda: installation.route(batch_files[0]), installation.log)
    installation.ask(lambda home: shift(home, jump))
    assert forked.done(lambda: installation.route(batch_files[0], {"policy": "ndch"}), installation.log)
    assert forked.done(lambda: installation.route(batch_files[1]), installation.log)
    assert forked.done(lambda: installation.train(seed=1), installation.log)
    assert installation.ask(newest_policies) == {"batch000": "ndch", "batch001": "mip"}
    assert {tuple(batch) for batch in installation.ask(stale)} == {("batch000", "router"), ("batch001", "router")}
    name = "back by a day" if jump == "1 day" else "forward by a month"
    report.append((f"clock jumps {name}", "the newest file, router and decision are those entered last"))


def shift(home: Home, jump: str) -> None:

    stamps = {
        "batches": "received_at",
        "routers": "recorded_at",
        "commitments": "committed_at",
    }
    with home.warehouse.transaction() as connection:
        for table, stamp in stamps.items():
            connection.execute(f"update {table} set {stamp} = {stamp} + interval '{jump}'")


def newest_policies(home: Home) -> dict[str, str]:
    from routing_assets.batches.known import decision_in_force

    return {name: decision_in_force(home.warehouse, name)["policy"] for name in ("batch000", "batch001")}


def stale(home: Home) -> list[tuple[str, ...]]:
    from routing_assets.batches.stale import stale_batches

    return [
        (batch.batch_id, *(r for r in batch.reasons if r != "prices"))
        for batch in stale_batches(home.warehouse, home.store, home.folders, home.policy_file)
    ]


def one_line(said: str) -> str:
    """The last line of an error, shortened."""
    line = said.strip().splitlines()[-1].replace("|", "/")
    return line if len(line) < 160 else f"{line[:157]}..."
