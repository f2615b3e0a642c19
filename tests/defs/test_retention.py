"""Old batches give up their data; the ledger, and open batches, stay."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from routing_assets import audit_commands, commands
from routing_assets.audit import broken_entries, replay
from routing_assets.errors import InvalidInput
from routing_assets.files import atomic_path
from routing_assets.intake import receive_outcomes
from routing_assets.retention import folders_of, remove_leftovers, retire_batches, retirement_day
from routing_assets.routing import standing_policy
from routing_assets.runs import instance_of
from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse

TOMORROW = datetime.now(UTC) + timedelta(days=1)


def power_cut(*_: object) -> None:
    raise OSError("power cut")


def test_an_open_batch_is_never_retired(routed: Home) -> None:
    with instance_of(routed) as instance:
        assert retire_batches(routed, instance, TOMORROW) == []
        assert instance.has_dynamic_partition("batches", "weekly")
    assert len(folders_of(routed, "weekly")) > 8


def test_a_retired_batch_leaves_its_entries_and_a_replay_says_what_is_gone(routed: Home, batch_file: Path) -> None:
    commands.dispatch(routed, "weekly")
    with instance_of(routed) as instance:
        assert retire_batches(routed, instance, datetime.now(UTC) - timedelta(days=1)) == []
        assert retire_batches(routed, instance, TOMORROW) == ["weekly"]
        assert retire_batches(routed, instance, TOMORROW) == []
        assert not instance.has_dynamic_partition("batches", "weekly")
    assert folders_of(routed, "weekly") == []
    assert broken_entries(routed) == []
    again = replay(routed, "weekly")
    assert not again.identical
    assert all("retired on" in line and "dispatched on" in line for line in again.differences)
    with pytest.raises(InvalidInput, match="retired on"):
        audit_commands.explain(routed, "weekly", "0")
    with pytest.raises(InvalidInput, match="retired on"):
        receive_outcomes(routed, batch_file, "weekly")


def test_times_are_said_in_utc_wherever_it_runs(
    routed: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.dispatch(routed, "weekly")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        (row,) = Warehouse(routed.warehouse).fetch("retirable_batches", {"before": TOMORROW})
        commands.retire(routed, TOMORROW.replace(tzinfo=None))
    time.tzset()
    assert row["ended_at"].utcoffset() == timedelta(0)
    assert f"before {TOMORROW:%Y-%m-%d %H:%M} UTC" in capsys.readouterr().out
    (retired,) = Warehouse(routed.warehouse).fetch("retirements")
    assert retired["why"].startswith(f"dispatched on {row['ended_at']:%Y-%m-%d %H:%M} UTC, before")


def test_an_interrupted_retirement_is_finished_by_the_next(routed: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.dispatch(routed, "weekly")
    with instance_of(routed) as instance:
        with monkeypatch.context() as patch:
            patch.setattr("routing_assets.retention.folders_of", power_cut)
            with pytest.raises(OSError, match="power cut"):
                retire_batches(routed, instance, TOMORROW)
        assert len(folders_of(routed, "weekly")) > 8
        retire_batches(routed, instance, TOMORROW)
    assert folders_of(routed, "weekly") == []


def test_the_policy_file_says_how_long_batches_are_kept(home: Home) -> None:
    home.create()
    assert retirement_day(home) is None
    home.policy_file.write_text("policy: ndch\nretention_days: 90\n")
    assert retirement_day(home, TOMORROW) == TOMORROW - timedelta(days=90)
    assert standing_policy(home.policy_file).policy == "ndch"
    home.policy_file.write_text("retention_day: 90\n")
    with pytest.raises(InvalidInput, match=r"'retention_day' is unknown. .*, coalesce, duplicates, retention_days"):
        standing_policy(home.policy_file)
    home.policy_file.write_text("retention_days: soon\n")
    with pytest.raises(InvalidInput, match="retention_days is 'soon'"):
        retirement_day(home)


def test_leftovers_of_killed_processes_are_removed_once_they_are_old(home: Home) -> None:
    home.create()
    with atomic_path(home.store / "asset" / "table.parquet") as temporary:
        temporary.write_bytes(b"whole")
        (temporary.parent / f".old{temporary.suffix}").write_bytes(b"half")
    for root in (home.store / "asset", home.received, home.outbox):
        (root / f"weekly{temporary.suffix}").mkdir()  # of a batch 'weekly.partial'
    assert remove_leftovers(home) == 0
    assert remove_leftovers(home, now=time.time() + 25 * 3600) == 1
    assert (home.store / "asset" / "table.parquet").exists()
    assert len(list(home.root.rglob("weekly.partial"))) == 3
