"""Rows that move money or change a batch's state are chained, and the chain's head is stored outside the database."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from helpers import decide

from routing_assets.allocation import AllocationProblem
from routing_assets.audit.chain import audit_journal
from routing_assets.audit.replay import broken_entries
from routing_assets.batches.money import commit_budget, commit_cost, release_commitments
from routing_assets.batches.outbox import MANIFEST
from routing_assets.batches.policy import RoutingSettings
from routing_assets.batches.second_rounds import record_second_round
from routing_assets.foundation.packaged import PACKAGE, beside_package
from routing_assets.home import Home
from routing_assets.storage import journal
from routing_assets.storage.journal import LEDGERS, Head
from routing_assets.storage.warehouse import Warehouse

PROBLEM = AllocationProblem(np.full((4, 2), 0.5), np.array([0.01, 0.05]), np.inf)
MARCH = datetime(2026, 3, 3, tzinfo=UTC)
PACED = RoutingSettings(budget_usd=0.1, period={"budget_usd": 10.0})
ROUTER = dict.fromkeys(
    ("router_version", "classifier_id", "label_hash", "temperatures_id", "buckets_id", "decision_estimate"), "r"
) | {"mlflow_run_id": "m", "mlflow_model_version": 1, "dagster_run_id": "run", "reason": "first"}
SECOND_ROUND = {
    **{"first_run_id": "run-a", "second_look_version": "s", "answered": 4, "escalated": 1, "status": "optimal"},
    **dict.fromkeys(("expected_success", "upper_bound", "gap", "shadow_price"), 0.5),
    **dict.fromkeys(("budget_usd", "spent_usd", "cost_usd"), 0.1),
}


SUBMISSION = dict.fromkeys(
    ("submission", "decision_run_id", "file_name", "file_sha256", "model", "api_name", "provider", "endpoint"), "s"
) | {"batch_id": "a", "round": 0, "requests": 3, "state": "intended", "usd": 0.1, "dagster_run_id": "sent"}
SUBMISSION |= {"intended_at": MARCH, "recorded_at": MARCH}


def write_all(home: Home) -> Warehouse:
    """Write at least one row into every ledger, with the product's functions where there are some."""
    warehouse = home.create().warehouse
    warehouse.create()
    warehouse.append("routers", pa.Table.from_pylist([ROUTER]))
    warehouse.append(
        "price_releases", pa.table({"price_version": ["p"], "cost_model_run": ["run"], "dagster_run_id": ["run"]})
    )
    for batch in ("a", "b", "c"):
        commit_budget(warehouse, batch, f"run-{batch}", PROBLEM, PACED, MARCH)
    commit_cost(warehouse, "a", ["run-a"], 1 / 30, PACED, MARCH)
    decide(warehouse, "a", "run-a", home.store.root / "routed")
    release_commitments(warehouse, ["run-b"])
    warehouse.append("submissions", pa.Table.from_pylist([SUBMISSION]))
    warehouse.append("dispatches", pa.table({"batch_id": ["a"], "dagster_run_id": ["run-a"]}))
    with warehouse.transaction() as connection:
        record_second_round(connection, "a", "run-2", SECOND_ROUND, "routed", home.store.version_sha256("routed"))
    warehouse.append("withdrawals", pa.table({"batch_id": ["c"]}))
    warehouse.append("retirements", pa.table({"batch_id": ["a"], "why": ["old"]}))
    return warehouse


@pytest.fixture(scope="session")
def written_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = Home(tmp_path_factory.mktemp("written") / "home")
    write_all(home)
    return home.root


@pytest.fixture
def written(home: Home, written_once: Path) -> Home:
    """A private copy of a home with rows in every ledger."""
    shutil.copytree(written_once, home.root)
    return home


def tamper(home: Home, *statements: str) -> None:
    """Change the database past the journal, as another program would."""
    with home.warehouse._connection(read_only=False) as connection:
        for statement in statements:
            connection.execute(statement)


def test_an_untouched_journal_passes_its_audit_and_covers_every_ledger(written: Home) -> None:
    assert broken_entries(written.warehouse, written.store, written.folders) == []
    kinds = {row["kind"] for row in written.warehouse.fetch("journal")}
    assert kinds == {*LEDGERS, journal.TAKEN_ON_TRUST}


def test_an_entry_holds_the_money_exactly(written: Home) -> None:
    contents = [json.loads(row["content"]) for row in written.warehouse.fetch("journal")]
    assert [row["usd"] for row in contents if row.get("dagster_run_id") == "run-a" and "usd" in row] == [0.1, 1 / 30]


def test_the_money_of_a_lost_run_is_freed_by_a_row_of_its_own(written: Home) -> None:
    with written.warehouse.reader() as connection:
        lines = connection.execute("select usd from commitments where batch_id = 'b' order by entry").fetchall()
    assert lines == [(0.1,), (0.0,)]


@pytest.mark.parametrize(
    ("ledger", "change", "said"),
    [
        ("decisions", "total_cost = 2", "total_cost was 0.03333333333333333 and is 2.0"),
        ("second_rounds", "spent = 0", "spent was 0.1 and is 0.0"),
        ("commitments", "usd = usd / 2", "usd was 0.1 and is 0.05"),
        ("commitments", "curve = '{}'", "curve was "),
        ("dispatches", "dagster_run_id = 'other'", "dagster_run_id was run-a and is other"),
        ("withdrawals", "batch_id = 'a'", "batch_id was c and is a"),
        ("retirements", "why = 'asked for'", "why was old and is asked for"),
        ("routers", "router_version = 'mine'", "router_version was r and is mine"),
        ("price_releases", "recorded_at = '2020-01-01'", "and is 2020-01-01T00:00:00.000000+00:00"),
        ("submissions", "usd = usd / 2", "usd was 0.1 and is 0.05"),
        ("month_plans", "plan = '{\"budget_usd\": 99}'", "plan was "),
    ],
)
def test_a_changed_row_is_found(written: Home, ledger: str, change: str, said: str) -> None:
    tamper(written, f"update {ledger} set {change} where entry = (select min(entry) from {ledger})")
    assert any(
        line.startswith(ledger) and "was changed" in line and said in line
        for line in broken_entries(written.warehouse, written.store, written.folders)
    )


@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_removed_row_is_found(written: Home, ledger: str) -> None:
    tamper(written, f"delete from {ledger} where entry = (select max(entry) from {ledger})")
    (line,) = (
        line
        for line in broken_entries(written.warehouse, written.store, written.folders)
        if "but not in the ledger" in line
    )
    assert line.startswith(f"{ledger} entry")


@pytest.mark.parametrize("ledger", LEDGERS)
def test_an_added_row_is_found(written: Home, ledger: str) -> None:
    newer = "* replace (entry + 1000 as entry)"
    tamper(written, f"insert into {ledger} select {newer} from {ledger} order by entry limit 1")
    assert any(
        line.startswith(ledger) and "not in the journal" in line
        for line in broken_entries(written.warehouse, written.store, written.folders)
    )


CUT = (
    "delete from journal where entry >= {n}",
    "delete from retirements",
    "delete from withdrawals",
)


def test_removed_last_entries_are_found_by_the_anchors_alone(written: Home) -> None:
    last = len(written.warehouse.fetch("journal"))
    tamper(written, *(statement.format(n=last - 1) for statement in CUT))
    (line,) = broken_entries(written.warehouse, written.store, written.folders)
    assert f"anchors of entries that the journal lacks, from {last - 1} to {last}" in line
    written.warehouse.append("withdrawals", pa.table({"batch_id": ["z"]}))
    written.warehouse.append("withdrawals", pa.table({"batch_id": ["y"]}))
    # the fault still shows once the journal has grown past the anchors
    (line,) = broken_entries(written.warehouse, written.store, written.folders)
    assert "the journal was rewritten after they were made" in line


def test_a_missing_entry_is_found(written: Home) -> None:
    tamper(written, "delete from journal where entry = 5")
    found = broken_entries(written.warehouse, written.store, written.folders)
    assert any("journal entry 6" in line and "1 entries before it are gone, from 5 on" in line for line in found)
    assert any("does not follow the journal entry before it" in line for line in found)


def test_a_changed_entry_is_found(written: Home) -> None:
    tamper(written, "update journal set subject = 'other' where entry = 4")
    assert any(
        "journal entry 4" in line and "was changed" in line
        for line in broken_entries(written.warehouse, written.store, written.folders)
    )


def test_an_older_database_in_place_of_the_newer_is_found(written: Home, tmp_path: Path) -> None:
    shutil.copyfile(written.warehouse.path, tmp_path / "older")
    written.warehouse.append("withdrawals", pa.table({"batch_id": ["z"]}))
    shutil.copyfile(tmp_path / "older", written.warehouse.path)
    written.warehouse.create()  # as the next command does
    assert any(
        "or an older copy of the database was restored" in line
        for line in broken_entries(written.warehouse, written.store, written.folders)
    )


def test_an_older_database_with_older_anchors_is_found_by_the_hand_offs_and_dagsters_log(
    written: Home, tmp_path: Path
) -> None:
    shutil.copytree(written.root, tmp_path / "older")
    written.warehouse.append("withdrawals", pa.table({"batch_id": ["z"]}))
    head = written.warehouse.journal_head()
    assert head is not None
    shutil.rmtree(written.root)
    shutil.copytree(tmp_path / "older", written.root)
    assert broken_entries(written.warehouse, written.store, written.folders) == []
    assert audit_journal(written.warehouse, written.folders, {"elsewhere": [head]}).found
    folder = written.folders.outbox / "a"
    folder.mkdir(parents=True)
    manifest = {"ledger_entry": head.entry, "ledger_hash": head.entry_hash}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (line,) = broken_entries(written.warehouse, written.store, written.folders)
    assert line.startswith("hand-offs in the outbox: 1 anchor of entries that the journal lacks")


@pytest.mark.parametrize("next_command", [lambda home: None, lambda home: home.warehouse.create()])
def test_a_removed_file_of_anchors_is_found(written: Home, next_command: Callable[[Home], None]) -> None:
    (written.root / "ledger_heads.jsonl").unlink()
    next_command(written)
    (line,) = broken_entries(written.warehouse, written.store, written.folders)
    assert line.startswith("ledger_heads.jsonl: ")
    assert "removed" in line


def test_a_removed_journal_is_found(written: Home) -> None:
    tamper(written, "drop table journal")
    written.warehouse.create()
    found = broken_entries(written.warehouse, written.store, written.folders)
    assert found[0] == "the journal is empty"
    assert any("anchors of entries that the journal lacks" in line for line in found)
    assert sum("is in the ledger, but not in the journal" in line for line in found) > len(LEDGERS)


def test_an_unreadable_anchor_is_found(written: Home) -> None:
    heads = written.root / "ledger_heads.jsonl"
    lines = heads.read_text().splitlines(keepends=True)
    heads.write_text("".join([*lines[:2], "scribble\n", *lines[2:]]))
    assert broken_entries(written.warehouse, written.store, written.folders) == [
        "ledger_heads.jsonl: line 3 cannot be read"
    ]


@pytest.mark.parametrize("lost", ["the whole line", "half of it"])
def test_a_crash_between_commit_and_anchor_is_not_reported_as_tampering(written: Home, lost: str) -> None:
    heads = written.root / "ledger_heads.jsonl"
    before = heads.read_bytes()
    warehouse = written.warehouse
    warehouse.append("withdrawals", pa.table({"batch_id": ["z"]}))
    whole = heads.read_bytes()
    heads.write_bytes(before if lost == "the whole line" else whole[:-30])
    assert broken_entries(written.warehouse, written.store, written.folders) == []
    warehouse.append("withdrawals", pa.table({"batch_id": ["y"]}))
    assert broken_entries(written.warehouse, written.store, written.folders) == []
    anchors, _ = warehouse.anchors.read()
    assert [anchor.entry for anchor in anchors[-2:]] == [anchors[-1].entry - 1, len(warehouse.fetch("journal"))]


def test_a_transaction_that_fails_leaves_neither_row_nor_entry_nor_anchor(written: Home) -> None:
    warehouse = written.warehouse
    head, anchors = warehouse.journal_head(), (written.root / "ledger_heads.jsonl").read_bytes()
    two_rows = pa.table({"batch_id": ["z", None]})  # the second may not be
    with pytest.raises(duckdb.ConstraintException):
        warehouse.append("withdrawals", two_rows)
    assert warehouse.journal_head() == head
    assert (written.root / "ledger_heads.jsonl").read_bytes() == anchors
    assert broken_entries(written.warehouse, written.store, written.folders) == []


def withdraw(path: Path, name: str) -> None:
    Warehouse(path).append("withdrawals", pa.table({"batch_id": [name]}))


def test_processes_that_append_at_once_make_one_chain(written: Home) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(withdraw, [written.warehouse.path] * 16, [f"batch-{i}" for i in range(16)]))
    assert broken_entries(written.warehouse, written.store, written.folders) == []
    assert len(written.warehouse.anchors.read()[0]) >= 16


def test_rows_older_than_the_journal_are_entered_once_and_protected_from_then_on(written: Home) -> None:
    (written.root / "ledger_heads.jsonl").unlink()
    tamper(
        written,
        "drop table schema_versions",
        "drop table journal",
        "drop table month_plans",
        "drop table price_releases",
        "alter table dispatches drop column entry",
    )
    warehouse = written.warehouse
    for _ in range(2):
        warehouse.create()
    audit = audit_journal(written.warehouse, written.folders)
    with warehouse.reader() as connection:
        rows = sum(len(journal.stored_rows(connection, table)) for table in LEDGERS)
    assert audit.found == ()
    assert audit.taken_on_trust == rows == audit.head.entry - 1
    tamper(written, "update dispatches set dagster_run_id = 'other'")
    assert any(
        "dispatches" in line and "was changed" in line
        for line in broken_entries(written.warehouse, written.store, written.folders)
    )


def test_a_column_that_a_later_version_adds_changes_no_entry(written: Home) -> None:
    tamper(written, "alter table withdrawals add column asked_by varchar")
    assert broken_entries(written.warehouse, written.store, written.folders) == []


def test_no_code_appends_to_a_ledger_past_the_journal() -> None:
    sources = PACKAGE.rglob("*.py")
    ledgers = "|".join(LEDGERS)
    past_it = re.compile(rf"connection\.append\(\s*\"({ledgers})\"|ledger\.append\(\s*\"({ledgers})\"")
    assert [source.name for source in sources if past_it.search(source.read_text(encoding="utf-8"))] == []
    changed = re.compile(rf"\b(update|delete\s+from|insert\s+into)\s+({ledgers})\b", re.IGNORECASE)
    statements = list(beside_package("sql").rglob("*.sql"))
    assert statements
    assert [sql.name for sql in statements if changed.search(sql.read_text(encoding="utf-8"))] == []


def test_a_head_is_anchored_once(written: Home) -> None:
    warehouse = written.warehouse
    before, _ = warehouse.anchors.read()
    for _ in range(3):
        warehouse.create()
    assert warehouse.anchors.read() == (before, [])
    assert before[-1] == warehouse.journal_head() != Head(0, journal.GENESIS)
