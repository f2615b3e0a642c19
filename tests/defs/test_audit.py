"""An auditor can trust the ledger, and make any past decision again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers import MadeOnce, copy_installation

from routing_assets.audit.replay import broken_entries, replay
from routing_assets.batches.ledger import entry_hash, record_decision
from routing_assets.batches.route import summary_of
from routing_assets.batches.spend_margin import CALIBRATED, CAUTIOUS
from routing_assets.cli import batches as batch_commands
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.routers.shelf import JUDGED_BY
from routing_assets.storage.in_force import router_in_force


def tamper(home: Home, statement: str) -> None:
    with home.warehouse.transaction() as connection:
        connection.execute(statement)


@pytest.fixture(scope="package")
def routed_twice_once(routed_once: Path, batch_file: Path, made_once: MadeOnce) -> Path:
    def route(home: Home) -> None:
        copy_installation(routed_once, home)
        batch_commands.route(home, batch_file, {"budget_fraction": 0.7, "policy": "ndch"})

    return made_once("routed_twice", route)


@pytest.fixture
def routed_twice(home: Home, routed_twice_once: Path) -> Home:
    copy_installation(routed_twice_once, home)
    return home


def test_a_confidence_is_calibrated_on_held_out_calls_and_its_decision_comes_out_the_same_without_them(
    trained_with_costs: Home, batch_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = trained_with_costs
    batch_commands.route(home, batch_file, {"budget_fraction": 0.9, "confidence": 0.9})
    calibrated = summary_of(home.store.read("routed_batch", "weekly"))
    assert calibrated["spend_margin"]["method"] == CALIBRATED
    assert 60 < calibrated["spend_margin"]["held_out_calls"] < 100
    assert "by the decisions on" in capsys.readouterr().out
    assert replay(home.warehouse, home.store, home.folders, home.shelf, "weekly").identical
    (home.shelf.folder / router_in_force(home.warehouse)["router_version"] / JUDGED_BY).unlink()
    assert replay(home.warehouse, home.store, home.folders, home.shelf, "weekly").identical
    batch_commands.route(home, batch_file, {"budget_fraction": 0.9, "confidence": 0.9})
    cautious = summary_of(home.store.read("routed_batch", "weekly"))
    assert cautious["spend_margin"] == {"method": CAUTIOUS, "held_out_calls": 0}
    assert cautious["allocated_usd"] < calibrated["allocated_usd"]
    assert "0 held-out calls with recorded costs are too few" in capsys.readouterr().out
    assert replay(home.warehouse, home.store, home.folders, home.shelf, "weekly").identical


def test_an_untouched_ledger_passes_the_audit(routed_twice: Home) -> None:
    assert broken_entries(routed_twice.warehouse, routed_twice.store, routed_twice.folders) == []


def test_a_budget_of_whole_dollars_is_not_reported_as_tampering(routed: Home, batch_file: Path) -> None:
    batch_commands.route(routed, batch_file, {"budget_usd": 1000})
    assert broken_entries(routed.warehouse, routed.store, routed.folders) == []
    (row,) = (row for row in routed.warehouse.fetch("ledger_entries") if row["budget"] == 1000)
    once = entry_hash({**row, "budget": 1000})  # as such budgets were hashed before there was a journal
    older = "drop table journal; drop table schema_versions"
    tamper(routed, f"update decisions set entry_hash = '{once}' where entry = {row['entry']}; {older}")
    (routed.root / "ledger_heads.jsonl").unlink()
    shutil.rmtree(routed.folders.outbox)
    routed.warehouse.create()
    assert broken_entries(routed.warehouse, routed.store, routed.folders) == []


def test_a_changed_figure_shows(routed_twice: Home) -> None:
    tamper(routed_twice, "update decisions set total_cost = total_cost * 2 where entry = 1")
    assert any(
        "entry 1" in line and "was changed" in line
        for line in broken_entries(routed_twice.warehouse, routed_twice.store, routed_twice.folders)
    )


def test_a_removed_entry_shows(routed_twice: Home) -> None:
    tamper(routed_twice, "delete from decisions where entry = 1")
    (missing,) = (
        line
        for line in broken_entries(routed_twice.warehouse, routed_twice.store, routed_twice.folders)
        if "is missing" in line
    )
    assert "entry 1 is missing" in missing


def test_only_the_entries_that_were_removed_are_missing(home: Home) -> None:
    home.create()
    home.warehouse.create()
    words = ("file_sha256", "router_version", "price_version", "policy", "settings_version", "status", "routed_path")
    amounts = ("budget", "expected_success", "total_cost", "upper_bound", "gap", "shadow_price")
    decision = dict.fromkeys((*words, "routed_sha256"), "x") | dict.fromkeys(amounts, 0.5)
    for run in ("a", "b", "c", "d"):
        with home.warehouse.transaction() as connection:
            about = {"batch_id": "weekly", "dagster_run_id": run, "settings": "{}", "instructions": 1}
            record_decision(connection, decision | about)
    for entry, said in ((2, "entry 2 is missing"), (3, "entries 2 to 3 are missing")):
        tamper(home, f"delete from decisions where entry = {entry}")
        missing = [line for line in broken_entries(home.warehouse, home.store, home.folders) if "missing" in line]
        assert len(missing) == 1
        assert missing[0].endswith(said)


def test_a_changed_file_shows(routed: Home) -> None:
    versions = (routed.store.root / "routed_batch" / "weekly").glob("*.parquet")
    file = next(path for path in versions if path.name != "current.parquet")
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    assert any(file.name in line for line in broken_entries(routed.warehouse, routed.store, routed.folders))


def test_a_replay_is_identical_byte_for_byte_and_old_decisions_can_be_replayed_too(routed_twice: Home) -> None:
    with routed_twice.warehouse.reader() as connection:
        runs = [row[0] for row in connection.execute("select dagster_run_id from decisions order by entry").fetchall()]
    for run in runs:
        again = replay(
            routed_twice.warehouse, routed_twice.store, routed_twice.folders, routed_twice.shelf, "weekly", run
        )
        assert again.identical, again.differences
        assert again.dagster_run_id == run


def test_a_replay_says_which_input_is_gone(routed: Home) -> None:
    version = router_in_force(routed.warehouse)["router_version"]
    shutil.rmtree(routed.shelf.folder / version)
    again = replay(routed.warehouse, routed.store, routed.folders, routed.shelf, "weekly")
    assert not again.identical
    assert again.differences == (f"router {version} is gone",)


def test_a_replay_of_an_unknown_batch_is_refused(routed: Home) -> None:
    with pytest.raises(InvalidInput, match=r"no such decision.*routing-assets batches"):
        replay(routed.warehouse, routed.store, routed.folders, routed.shelf, "nope")
    (run,) = (row["dagster_run_id"] for row in routed.warehouse.fetch("ledger_entries"))
    with pytest.raises(InvalidInput, match=rf"Its runs are {run}: give one"):
        replay(routed.warehouse, routed.store, routed.folders, routed.shelf, "weekly", "another-run")
