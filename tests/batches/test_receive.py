"""Batch files enter once, under safe names, or are rejected with a reason; none is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.batches.inbox import whole_files
from routing_assets.batches.known import latest_revision
from routing_assets.batches.receive import Admission, receive, reject
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import batch_id_of
from routing_assets.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def batch(path: Path, *texts: str) -> Path:
    rows = [{"instruction_id": f"i{n}", "instruction": text} for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@given(st.text(min_size=1, max_size=400))
def test_any_name_makes_a_safe_batch_id(name: str) -> None:
    made = batch_id_of(name)
    assert 1 <= len(made) <= 100
    assert "/" not in made
    assert not made.startswith(".")
    assert made.isascii()
    assert batch_id_of(name) == made


def test_names_that_look_alike_once_cleaned_stay_apart() -> None:
    names = ["a b.csv", "a-b.csv", "a_b.csv", "../a-b.csv", "a\u00a0b.csv", "\u65e5\u672c.csv", "\u65e5\u672d.csv"]
    assert len({batch_id_of(name) for name in names}) == len(names) - 1  # "../a-b.csv" is the file a-b.csv
    assert batch_id_of("../a-b.csv") == "a-b"


def test_a_file_sent_again_unchanged_is_not_new(home: Home, tmp_path: Path) -> None:
    file = batch(tmp_path / "weekly.jsonl", "one", "two")
    first, second = receive(home.warehouse, home.folders, file), receive(home.warehouse, home.folders, file)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.run_key == second.run_key


def test_a_changed_file_is_a_revision_even_when_it_returns_to_its_old_content(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "weekly.jsonl"
    keys = [receive(home.warehouse, home.folders, batch(file, *texts)).run_key for texts in (["one"], ["two"], ["one"])]
    assert len(set(keys)) == 3
    assert latest_revision(home.warehouse, home.folders, "weekly").revision == 3


def test_another_request_for_the_same_file_is_a_revision(home: Home, tmp_path: Path) -> None:
    file = batch(tmp_path / "weekly.jsonl", "one")
    urgent = {"urgent": True}
    assert [receive(home.warehouse, home.folders, file, request=asked).is_new for asked in ({}, urgent, urgent)] == [
        True,
        True,
        False,
    ]
    newest = latest_revision(home.warehouse, home.folders, "weekly")
    assert (newest.revision, newest.request) == (2, urgent)


def test_only_a_file_of_other_content_replaces_the_one_before(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "weekly.jsonl"
    assert receive(home.warehouse, home.folders, batch(file, "one", "two")).remark == ""
    assert receive(home.warehouse, home.folders, file, request={"urgent": True}).remark == ""
    remark = receive(home.warehouse, home.folders, batch(file, "one")).remark
    assert remark == "replaces the earlier file of 2 instructions of batch 'weekly'"


@pytest.mark.parametrize("batch_id", ["Q1 2026", "", "../up", "-x", "w" * 81])
def test_a_batch_id_of_ones_own_is_not_changed_but_refused(home: Home, tmp_path: Path, batch_id: str) -> None:
    file = batch(tmp_path / "weekly.jsonl", "one")
    with pytest.raises(InvalidInput, match=r"cannot be a partition and a folder.*Use at most 80 letters"):
        receive(home.warehouse, home.folders, file, batch_id=batch_id)
    assert receive(home.warehouse, home.folders, file, batch_id="Q1_2026").batch_id == "Q1_2026"


def test_a_claimed_file_leaves_the_inbox_and_its_bytes_are_kept(home: Home) -> None:
    file = batch(home.folders.inbox / "weekly.jsonl", "one")
    content = file.read_bytes()
    received = receive(home.warehouse, home.folders, file, move=True)
    assert not file.exists()
    assert received.path.read_bytes() == content
    assert latest_revision(home.warehouse, home.folders, "weekly").path == received.path


def test_a_bad_file_is_recorded_nowhere_and_kept_with_its_reason(home: Home) -> None:
    file = batch(home.folders.inbox / "bad.jsonl", "one", "  ")
    with pytest.raises(InvalidInput) as error:
        receive(home.warehouse, home.folders, file, move=True, admission=Admission(strict=True))
    kept = reject(home.folders, file, str(error.value))
    reason = kept.with_name(f"{kept.name}.reason.txt").read_text()
    assert "row 2" in reason
    assert "bad.jsonl" in reason
    assert kept.read_text().count("\n") == 2
    assert not file.exists()
    with pytest.raises(InvalidInput, match="no file was received"):
        latest_revision(home.warehouse, home.folders, "bad")


def test_two_bad_files_of_one_name_are_both_kept(home: Home) -> None:
    for text in ("{", "}"):
        file = home.folders.inbox / "bad.jsonl"
        file.write_text(text)
        reject(home.folders, file, "no JSON")
    assert len(list(home.folders.rejected.glob("*.jsonl"))) == 2


def test_a_growing_file_is_left_alone_until_it_rests(home: Home) -> None:
    file = batch(home.folders.inbox / "big.jsonl", "one")
    whole, seen = whole_files(home.folders.inbox, {})
    assert whole == []
    batch(file, "one", "two")
    whole, seen = whole_files(home.folders.inbox, seen)
    assert whole == []
    whole, _ = whole_files(home.folders.inbox, seen)
    assert whole == [file]


def test_hidden_files_folders_and_links_are_no_batches(home: Home, tmp_path: Path) -> None:
    batch(home.folders.inbox / ".partial.jsonl", "one")
    (home.folders.inbox / "link.jsonl").symlink_to(batch(tmp_path / "outside.jsonl", "one"))
    _, seen = whole_files(home.folders.inbox, {})
    whole, _ = whole_files(home.folders.inbox, seen)
    assert whole == []
