"""Only the decision that was asked for last is dispatched, and a run decides once."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import decide, drop

from routing_assets.batches.ends import dispatch_batch
from routing_assets.batches.known import end_of_batch
from routing_assets.batches.receive import receive
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home


@pytest.fixture
def decided(home: Home, tmp_path: Path) -> Home:
    """An installation with a decision on the newest file of the batch 'weekly'."""
    received = receive(home.warehouse, home.folders, drop(tmp_path / "weekly.jsonl", "one"))
    home.store.root.mkdir(exist_ok=True)
    decide(home.warehouse, "weekly", "run", home.store.root / "routed", received.file_sha256)
    return home


def test_a_decision_on_the_newest_file_is_dispatched(decided: Home) -> None:
    assert dispatch_batch(decided.warehouse, decided.folders, "weekly") == "run"
    assert end_of_batch(decided.warehouse, "weekly") == "dispatched"
    assert dispatch_batch(decided.warehouse, decided.folders, "weekly") is None


def test_a_decision_that_a_newer_file_overtook_is_not_dispatched(decided: Home, tmp_path: Path) -> None:
    receive(decided.warehouse, decided.folders, drop(tmp_path / "weekly.jsonl", "one", "two"))
    with pytest.raises(InvalidInput, match="was not routed after its newest file arrived"):
        dispatch_batch(decided.warehouse, decided.folders, "weekly")
    assert end_of_batch(decided.warehouse, "weekly") is None


def test_a_decision_that_a_newer_request_overtook_is_not_dispatched(decided: Home, tmp_path: Path) -> None:
    receive(decided.warehouse, decided.folders, tmp_path / "weekly.jsonl", request={"budget_usd": 3.0})
    with pytest.raises(InvalidInput, match=r"after it was requested with budget_usd 3\.0"):
        dispatch_batch(decided.warehouse, decided.folders, "weekly")
    assert end_of_batch(decided.warehouse, "weekly") is None


def test_a_run_that_is_made_again_decides_once(decided: Home) -> None:
    warehouse = decided.warehouse
    decide(warehouse, "weekly", "run", decided.store.root / "routed")
    assert [row["entry"] for row in warehouse.fetch("ledger_entries")] == [1]
    decide(warehouse, "weekly", "another run", decided.store.root / "routed")
    assert [row["entry"] for row in warehouse.fetch("ledger_entries")] == [1, 2]
