"""Each claim stands alone: what fails for one file is said, loses nothing, and stops no other."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import helpers
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import drop, ids

from routing_assets.batches import inbox, outcome_inbox
from routing_assets.batches import receive as intake
from routing_assets.batches.inbox import TakenIn, take_in
from routing_assets.batches.join_small_files import Coalescing
from routing_assets.batches.outcome_inbox import take_in_outcomes
from routing_assets.home import Home
from routing_assets.storage.warehouse import WarehouseBusy

ENVIRONMENT = [
    OSError(errno.ENOSPC, "No space left on device"),
    PermissionError(errno.EACCES, "Permission denied"),
    WarehouseBusy("held elsewhere"),
    duckdb.IOException("Could not write"),
]
FAULTS = [RuntimeError("a fault"), RecursionError("too deep"), KeyError("x"), MemoryError()]


look = partial(helpers.look, after_minutes=20)


def failing(real: Callable[..., Any], error: Exception, part: str) -> Callable[..., Any]:
    """``real``, which raises ``error`` where an argument is a path of a file named so."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, Path) and part in value.name for value in args):
            raise error
        return real(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize("error", ENVIRONMENT, ids=repr)
def test_a_file_that_the_environment_stopped_waits_and_the_others_go_on(
    home: Home, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jsonl", "bad.jsonl", "c.jsonl"):
        drop(home.folders.inbox / name, name)
    with monkeypatch.context() as patch:
        patch.setattr(inbox, "receive", failing(inbox.receive, error, "bad"))
        taken = look(home)
        assert ids(taken) == ["a", "c"]
        assert [type(error).__name__ in said and "bad.jsonl" in said for said in taken.waiting] == [True]
        assert (home.folders.claimed / "bad" / "bad.jsonl").exists()
        assert len(look(home).waiting) == 1
    taken = look(home)
    assert list(home.folders.rejected.iterdir()) == []
    assert not list(home.folders.claimed.iterdir())
    assert [row["instructions"] for row in home.warehouse.fetch("batch_revisions", {"batch_id": "bad"})] == [1]


def test_a_parquet_file_that_the_machine_could_not_read_waits(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"instruction_id": ["1"], "instruction": ["text"]})
    pq.write_table(rows, home.folders.inbox / "good.parquet")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetFile, "iter_batches", fail)
        taken = look(home)
        assert (taken.received, taken.rejected, len(taken.waiting)) == ([], [], 1)
    assert ids(take_in(home.warehouse, home.folders, {})) == ["good"]


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_an_unexpected_error_rejects_a_file_with_a_traceback_and_the_others_go_on(
    home: Home, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jsonl", "bad.jsonl", "c.jsonl"):
        drop(home.folders.inbox / name, name)
    content = (home.folders.inbox / "bad.jsonl").read_bytes()
    monkeypatch.setattr(inbox, "receive", failing(inbox.receive, error, "bad"))
    taken = look(home)
    assert type(error).__name__ in taken.rejected[0]
    assert "Traceback" in taken.faults[0]
    (kept,) = home.folders.rejected.glob("*.jsonl")
    assert kept.read_bytes() == content
    assert not list(home.folders.claimed.iterdir())


@pytest.mark.parametrize("error", [ENVIRONMENT[0], FAULTS[0]], ids=repr)
def test_a_small_file_that_cannot_be_read_stops_no_group(
    home: Home, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jsonl", "bad.jsonl", "c.jsonl"):
        drop(home.folders.inbox / name, name)
    monkeypatch.setattr(inbox, "open_batch", failing(inbox.open_batch, error, "bad"))
    monkeypatch.setattr(inbox, "receive", failing(inbox.receive, error, "bad"))
    taken = look(home, Coalescing(below=5, wait_minutes=10))
    assert [batch_id[:7] for batch_id in ids(taken)] == ["joined-"]
    assert len(taken.waiting if isinstance(error, OSError) else taken.rejected) == 1


def test_files_that_cannot_be_joined_for_a_fault_are_batches_of_their_own(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        drop(home.folders.inbox / name, name)

    def fault(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(inbox, "join_files", fault)
    taken = look(home, Coalescing(below=5, wait_minutes=10))
    assert ids(taken) == ["a", "b"]
    assert "a fault" in taken.faults[0]


@pytest.mark.parametrize("step", ["_batch_with", "file_sha256"])
def test_files_that_are_one_batch_already_never_become_others(
    home: Home, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        drop(home.folders.inbox / name, name)
    real, recorded = getattr(inbox, step), []

    def fault(*args: Any) -> Any:
        if recorded:
            raise RuntimeError("a fault")
        return real(*args)

    record = intake._record
    with monkeypatch.context() as patch:
        patch.setattr(intake, "_record", lambda *args: (recorded.append(1), record(*args))[1])
        patch.setattr(inbox, step, fault)
        taken = look(home, Coalescing(below=5, wait_minutes=10))
        assert (taken.received, taken.rejected, len(taken.waiting)) == ([], [], 1)
    assert [batch_id[:7] for batch_id in ids(take_in(home.warehouse, home.folders, {}))] == ["joined-"]
    assert not list(home.folders.claimed.iterdir())


def test_newer_files_of_a_batch_wait_behind_a_claim_that_waits(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(home.folders.inbox / "weekly.jsonl", "one")
    with monkeypatch.context() as patch:
        patch.setattr(inbox, "receive", failing(inbox.receive, ENVIRONMENT[0], "weekly"))
        look(home)
        drop(home.folders.inbox / "weekly.jsonl", "two")
        (home.folders.inbox / "weekly.csv").write_text("instruction_id,instruction\n1,three\n")
        look(home)
        assert {path.name for path in home.folders.inbox.glob("weekly.*")} == {"weekly.jsonl", "weekly.csv"}
        assert "one" in (home.folders.claimed / "weekly" / "weekly.jsonl").read_text()
    first = take_in(home.warehouse, home.folders, {})
    assert ids(first) == ["weekly"]
    taken = take_in(home.warehouse, home.folders, first.seen)
    assert (ids(taken), len(taken.rejected)) == (["weekly"], 1)


def test_a_file_that_cannot_be_claimed_or_moved_stops_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.jsonl", "bad.jsonl", "c.jsonl"):
        drop(home.folders.inbox / name, name)
    (home.folders.inbox / "bad.csv").mkdir()
    monkeypatch.setattr("os.replace", failing(inbox.os.replace, PermissionError(errno.EPERM, "Not permitted"), "bad"))
    taken = look(home)
    assert ids(taken) == ["a", "c"]
    assert [said.split()[0] for said in taken.waiting] == ["bad.csv", "bad"]


@pytest.mark.parametrize("error", [*ENVIRONMENT, *FAULTS], ids=repr)
def test_outcome_files_do_not_stop_each_other(home: Home, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    intake.receive(home.warehouse, home.folders, drop(home.root / "weekly.jsonl", "one"))
    (home.folders.outcomes / "weekly").mkdir()
    files = [drop(home.folders.outcomes / "weekly" / name, name) for name in ("a.csv", "bad.csv", "c.csv")]

    def received(
        warehouse: object, store: object, folders: object, path: Path, batch_id: str, *, move: bool
    ) -> list[str]:
        path.unlink()
        return ["a remark"]

    monkeypatch.setattr(outcome_inbox, "receive_outcomes", failing(received, error, "bad"))
    taken = TakenIn()
    assert take_in_outcomes(home.warehouse, home.store, home.folders, "weekly", files, taken) == "weekly"
    assert taken.remarks == ["a.csv: a remark", "c.csv: a remark"]
    waits = isinstance(error, OSError | duckdb.Error)
    assert (len(taken.waiting), len(taken.rejected), len(taken.faults)) == ((1, 0, 0) if waits else (0, 1, 1))
    assert files[1].exists() is waits
