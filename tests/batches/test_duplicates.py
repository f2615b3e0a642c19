"""The same bytes are not paid for twice, unless that is said to be meant; what is held is not lost."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from helpers import drop, ids, look

from routing_assets.batches.ends import withdraw_batch
from routing_assets.batches.join_small_files import Coalescing
from routing_assets.batches.policy import read_policy
from routing_assets.batches.receive import Admission, Duplicate, receive
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home

SMALL = Coalescing(below=5, wait_minutes=10)


def held(home: Home) -> list[str]:
    return sorted(path.name for path in home.folders.held.glob("*") if not path.name.endswith(".reason.txt"))


def test_the_same_bytes_under_another_name_are_held_with_the_reason(home: Home) -> None:
    drop(home.folders.inbox / "weekly.jsonl", "one", "two")
    look(home)
    again = drop(home.folders.inbox / "weekly copy.jsonl", "one", "two").read_bytes()
    taken = look(home)
    assert (taken.received, taken.rejected) == ([], [])
    (said,) = taken.held
    assert "this is batch 'weekly', byte for byte" in said
    assert "route --duplicate" in said
    assert (home.folders.held / "weekly copy.jsonl").read_bytes() == again
    assert (
        "'weekly copy.jsonl' is held: this is batch 'weekly'"
        in next(home.folders.held.glob("*.reason.txt")).read_text()
    )
    assert not list(home.folders.claimed.iterdir())


def test_the_same_bytes_under_the_same_name_are_the_same_batch(home: Home) -> None:
    for _ in range(2):
        drop(home.folders.inbox / "weekly.jsonl", "one")
        taken = look(home)
    assert (ids(taken), taken.held) == (["weekly"], [])
    assert not taken.received[0].is_new


def test_the_same_bytes_under_another_batch_id_are_refused(home: Home, tmp_path: Path) -> None:
    file = drop(tmp_path / "weekly.jsonl", "one")
    receive(home.warehouse, home.folders, file)
    with pytest.raises(Duplicate, match=r"weekly\.jsonl: this is batch 'weekly'.*route --duplicate"):
        receive(home.warehouse, home.folders, file, batch_id="other")
    received = receive(home.warehouse, home.folders, file, batch_id="other", admission=Admission(may_repeat=True))
    assert received.remark == "has the same bytes as batch 'weekly', and is paid for again"
    assert not receive(
        home.warehouse, home.folders, file, batch_id="other"
    ).is_new  # confirmed once, it is a batch like any other


def test_two_equal_files_that_come_together_are_one_batch(home: Home) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        drop(home.folders.inbox / name, "one")
    taken = look(home)
    assert (len(taken.received), len(taken.held), len(held(home))) == (1, 2, 2)


def test_two_equal_small_files_that_come_together_are_joined_once(home: Home) -> None:
    for name, text in (("a.jsonl", "one"), ("b.jsonl", "one"), ("c.jsonl", "two")):
        drop(home.folders.inbox / name, text)
    taken = look(home, SMALL, after_minutes=10)
    (joined,) = taken.received
    assert home.warehouse.fetch("batch_revisions", {"batch_id": joined.batch_id})[0]["instructions"] == 2
    (said,) = taken.held
    assert "this is 'a.jsonl', which came with it, byte for byte" in said
    assert held(home) == ["b.jsonl"]


@pytest.mark.parametrize("small", [SMALL, None])
def test_a_small_file_that_was_joined_before_is_held_under_another_name(home: Home, small: Coalescing | None) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        drop(home.folders.inbox / name, name)
    (joined,) = look(home, SMALL, after_minutes=10).received
    drop(home.folders.inbox / "z.jsonl", "a.jsonl")
    taken = look(home, small, after_minutes=10)
    assert taken.received == []
    assert joined.batch_id in taken.held[0]


def test_the_bytes_of_a_withdrawn_batch_may_come_again(home: Home) -> None:
    drop(home.folders.inbox / "weekly.jsonl", "one")
    look(home)
    withdraw_batch(home.warehouse, home.folders, "weekly")
    drop(home.folders.inbox / "better.jsonl", "one")
    assert ids(look(home)) == ["better"]


@pytest.mark.parametrize("fate", ["dispatches", "retirements"])
def test_a_batch_that_went_out_or_was_retired_counts(home: Home, fate: str) -> None:
    drop(home.folders.inbox / "weekly.jsonl", "one")
    look(home)
    why = {"dispatches": "dagster_run_id", "retirements": "why"}[fate]
    home.warehouse.append(fate, pa.table({"batch_id": ["weekly"], why: ["x"]}))
    drop(home.folders.inbox / "again.jsonl", "one")
    assert "batch 'weekly'" in look(home).held[0]


def test_bytes_that_a_newer_file_replaced_may_come_again(home: Home) -> None:
    for text in ("one", "two"):
        drop(home.folders.inbox / "weekly.jsonl", text)
        look(home)
    drop(home.folders.inbox / "other.jsonl", "one")
    assert ids(look(home)) == ["other"]


def test_bytes_that_went_out_count_although_a_newer_file_came(home: Home) -> None:
    for text in ("one", "two"):
        drop(home.folders.inbox / "weekly.jsonl", text)
        look(home)
    sent = home.warehouse.fetch("batch_revisions", {"batch_id": "weekly"})[0]["file_sha256"]
    with home.warehouse.transaction() as connection:
        columns = connection.execute("describe decisions").fetchall()
        fill = {"VARCHAR": "", "JSON": "{}", "DOUBLE": 0.0, "BIGINT": 1, "TIMESTAMP WITH TIME ZONE": "2026-01-01"}
        row = {name: fill[kind] for name, kind, *_ in columns}
        row |= {"batch_id": "weekly", "dagster_run_id": "run", "file_sha256": sent}
        connection.execute(f"insert into decisions values ({', '.join('?' * len(row))})", list(row.values()))
        connection.execute("insert into dispatches (batch_id, dagster_run_id) values ('weekly', 'run')")
    drop(home.folders.inbox / "other.jsonl", "one")
    assert "batch 'weekly'" in look(home).held[0]


def test_held_files_are_taken_in_once_the_policy_routes_duplicates(home: Home) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        drop(home.folders.inbox / name, "one")
    look(home)
    taken = look(home, admission=Admission(may_repeat=True))
    assert ids(taken) == ["b"]
    assert taken.remarks == ["b.jsonl has the same bytes as batch 'a', and is paid for again"]
    assert list(home.folders.held.iterdir()) == []


def test_another_file_of_a_name_that_is_held_loses_neither(home: Home) -> None:
    for name, text in (("a.jsonl", "one"), ("b.jsonl", "two")):
        drop(home.folders.inbox / name, text)
    look(home)
    for text in ("one", "two", "two"):
        drop(home.folders.inbox / "c.jsonl", text)
        assert look(home).received == []
    assert "two" in (home.folders.held / "c.jsonl").read_text()
    (earlier,) = home.folders.rejected.glob("*.jsonl")
    assert "one" in earlier.read_text()


def test_a_name_as_long_as_a_name_can_be_is_held_like_any_other(home: Home) -> None:
    drop(home.folders.inbox / "a.jsonl", "one")
    look(home)
    drop(home.folders.inbox / ("n" * 249 + ".jsonl"), "one")
    assert len(look(home).held) == 1
    assert held(home) == ["n" * 249 + ".jsonl"]


def test_the_policy_says_what_becomes_of_duplicates(home: Home) -> None:
    assert read_policy(home.policy_file).duplicates == "hold"
    for said in ("hold", "route"):
        home.policy_file.write_text(f"duplicates: {said}\n")
        assert read_policy(home.policy_file).duplicates == said
    home.policy_file.write_text("duplicates: maybe\n")
    with pytest.raises(InvalidInput, match=r"policy\.yaml, row 1: duplicates is 'maybe'.*'hold' or 'route'"):
        read_policy(home.policy_file)
