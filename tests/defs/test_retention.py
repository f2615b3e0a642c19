"""Old batches give up their data; the ledger, and open batches, stay."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from routing_assets.audit.replay import broken_entries, replay
from routing_assets.batches.outcomes import receive_outcomes
from routing_assets.batches.policy import standing_policy
from routing_assets.batches.retention import folders_of, remove_leftovers, retirement_day
from routing_assets.cli import audit as audit_commands
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import ends
from routing_assets.cli.main import main
from routing_assets.cli.run_job import instance_of
from routing_assets.defs.upkeep.retention import retire_with_partitions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import atomic_path
from routing_assets.home import Home

TOMORROW = datetime.now(UTC) + timedelta(days=1)


def power_cut(*_: object) -> None:
    raise OSError("power cut")


def test_an_open_batch_is_never_retired(routed: Home) -> None:
    with instance_of(routed) as instance:
        assert retire_with_partitions(routed, instance, datetime.now(UTC)) == []
        assert instance.has_dynamic_partition("batches", "weekly")
    assert len(folders_of(routed.store, routed.folders, "weekly")) > 8


def test_a_retired_batch_leaves_its_entries_and_a_replay_says_what_is_gone(routed: Home, batch_file: Path) -> None:
    ends.dispatch(routed, "weekly")
    with instance_of(routed) as instance:
        assert retire_with_partitions(routed, instance, datetime.now(UTC) - timedelta(days=1)) == []
        assert retire_with_partitions(routed, instance, datetime.now(UTC)) == ["weekly"]
        assert retire_with_partitions(routed, instance, datetime.now(UTC)) == []
        assert not instance.has_dynamic_partition("batches", "weekly")
    assert folders_of(routed.store, routed.folders, "weekly") == []
    assert not (routed.folders.pages / "weekly").exists()
    assert broken_entries(routed.warehouse, routed.store, routed.folders) == []
    again = replay(routed.warehouse, routed.store, routed.folders, routed.shelf, "weekly")
    assert not again.identical
    assert all("retired on" in line and "dispatched on" in line for line in again.differences)
    with pytest.raises(InvalidInput, match="retired on"):
        audit_commands.explain(routed, "weekly", "0")
    with pytest.raises(InvalidInput, match="retired on"):
        receive_outcomes(routed.warehouse, routed.store, routed.folders, batch_file, "weekly")


def test_times_are_printed_in_utc_in_every_time_zone(
    routed: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends.dispatch(routed, "weekly")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        (row,) = routed.warehouse.fetch("retirable_batches", {"before": TOMORROW})
        routed.policy_file.write_text("retention_days: 0\n")
        before = datetime.now(UTC)
        batch_commands.retire(routed, None, yes=True)
    time.tzset()
    assert row["ended_at"].utcoffset() == timedelta(0)
    assert f"before {before:%Y-%m-%d %H:}" in capsys.readouterr().out
    (retired,) = routed.warehouse.fetch("retirements")
    assert retired["why"].startswith(f"dispatched on {row['ended_at']:%Y-%m-%d %H:%M} UTC, before")


def test_an_interrupted_retirement_is_finished_by_the_next(routed: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ends.dispatch(routed, "weekly")
    with instance_of(routed) as instance:
        with monkeypatch.context() as patch:
            patch.setattr("routing_assets.batches.retention.folders_of", power_cut)
            with pytest.raises(OSError, match="power cut"):
                retire_with_partitions(routed, instance, datetime.now(UTC))
        assert len(folders_of(routed.store, routed.folders, "weekly")) > 8
        retire_with_partitions(routed, instance, datetime.now(UTC))
    assert folders_of(routed.store, routed.folders, "weekly") == []


def test_the_policy_file_says_how_long_batches_are_kept(home: Home) -> None:
    home.create()
    assert retirement_day(home.policy_file) is None
    home.policy_file.write_text("policy: ndch\nretention_days: 90\n")
    assert retirement_day(home.policy_file, TOMORROW) == TOMORROW - timedelta(days=90)
    assert standing_policy(home.policy_file).policy == "ndch"
    home.policy_file.write_text("retention_day: 90\n")
    with pytest.raises(InvalidInput, match=r"'retention_day' is unknown. Did you mean 'retention_days'"):
        standing_policy(home.policy_file)
    home.policy_file.write_text("retention_days: soon\n")
    with pytest.raises(InvalidInput, match="retention_days is 'soon'"):
        retirement_day(home.policy_file)


def test_leftovers_of_killed_processes_are_removed_once_they_are_old(home: Home) -> None:
    home.create()
    with atomic_path(home.store.root / "asset" / "table.parquet") as temporary:
        temporary.write_bytes(b"whole")
        (temporary.parent / f".old{temporary.suffix}").write_bytes(b"half")
    for root in (home.store.root / "asset", home.folders.received, home.folders.outbox):
        (root / f"weekly{temporary.suffix}").mkdir()  # of a batch 'weekly.partial'
    assert remove_leftovers(home.store.root, home.shelf.folder) == 0
    assert remove_leftovers(home.store.root, home.shelf.folder, now=time.time() + 25 * 3600) == 1
    assert (home.store.root / "asset" / "table.parquet").exists()
    assert len(list(home.root.rglob("weekly.partial"))) == 3


def test_a_date_in_the_future_is_refused_and_nothing_is_deleted(routed: Home) -> None:
    ends.dispatch(routed, "weekly")
    day = f"{TOMORROW:%Y-%m-%d}"
    result = CliRunner().invoke(main, ["retire", "--before", day, "--yes"])
    assert result.exit_code == 2
    assert f"{day} 00:00 UTC is in the future" in result.output
    with instance_of(routed) as instance, pytest.raises(InvalidInput, match="in the future"):
        retire_with_partitions(routed, instance, TOMORROW)
    assert len(folders_of(routed.store, routed.folders, "weekly")) > 8


def test_batches_to_be_deleted_are_listed_and_deletion_is_confirmed(
    routed: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.dispatch(routed, "weekly")
    routed.policy_file.write_text("retention_days: 0\n")
    listed = CliRunner().invoke(main, ["retire", "--dry-run"])
    assert listed.exit_code == 0
    assert re.search(r"weekly +dispatched \S+ \S+ UTC +[\d.]+ MiB", listed.output)
    unasked = CliRunner().invoke(main, ["retire"])
    assert unasked.exit_code == 2
    assert "deleting needs a confirmation. Give --yes, or --dry-run" in unasked.output
    monkeypatch.setattr("routing_assets.cli.batches.at_terminal", lambda: True)
    refused = CliRunner().invoke(main, ["retire"], input="n\n")
    assert "nothing was deleted" in refused.output
    assert len(folders_of(routed.store, routed.folders, "weekly")) > 8
    agreed = CliRunner().invoke(main, ["retire"], input="y\n")
    assert agreed.exit_code == 0, agreed.output
    assert "1 batches retired" in agreed.output
    assert folders_of(routed.store, routed.folders, "weekly") == []
