"""Batch files enter once, under safe names, or are rejected with a reason; none is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import ids, look
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.batches.inbox import whole_files
from routing_assets.batches.known import latest_revision
from routing_assets.batches.policy import layout_of
from routing_assets.batches.receive import Admission, receive, reject
from routing_assets.datasets import load_batch
from routing_assets.datasets.file_layout import FileLayout
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


def columns(path: Path, text: bytes = "prompt;tenant\nCaf\u00e9?;a\nTea?;b\n".encode()) -> Path:
    path.write_bytes(text)
    return path


STANDING = FileLayout({"instruction": "prompt", "group": "tenant"}, "row")


def test_a_standing_layout_is_settled_when_a_file_comes(home: Home, tmp_path: Path) -> None:
    admission = Admission(layout=STANDING)
    received = receive(home.warehouse, home.folders, columns(tmp_path / "b.csv"), admission=admission)
    assert received.request == {"text_column": "prompt", "group_column": "tenant", "make_ids": "position"}
    assert received.remark == "is read as: separated by semicolons"
    again = latest_revision(home.warehouse, home.folders, "b")
    assert load_batch(again.path, layout=layout_of(again.request)).instruction_id.tolist() == ["row-2", "row-3"]
    ours = receive(home.warehouse, home.folders, batch(tmp_path / "ours.jsonl", "one"), admission=admission)
    assert ours.request == {}
    # what a file asks for itself counts first, and must fit it
    with pytest.raises(InvalidInput, match="no column 'text'; the file has 'prompt', 'tenant'"):
        receive(home.warehouse, home.folders, tmp_path / "b.csv", request={"text_column": "text"}, admission=admission)


def test_a_text_of_windows_is_kept_as_utf8_when_that_is_said(home: Home, tmp_path: Path) -> None:
    file = columns(tmp_path / "b.csv", "prompt;tenant\nCaf\u00e9?;a\n".encode("cp1252"))
    with pytest.raises(InvalidInput, match="--encoding cp1252"):
        receive(home.warehouse, home.folders, file, admission=Admission(layout=STANDING))
    admission = Admission(layout=STANDING, encoding="cp1252")
    received = receive(home.warehouse, home.folders, file, admission=admission)
    assert load_batch(received.path, layout=STANDING).instruction.tolist() == ["Caf\u00e9?"]
    assert received.remark == "is read as: cp1252 text, separated by semicolons"
    utf8 = receive(home.warehouse, home.folders, columns(tmp_path / "u.csv"), admission=admission)
    assert load_batch(utf8.path, layout=STANDING).instruction.tolist() == ["Caf\u00e9?", "Tea?"]
    with pytest.raises(InvalidInput, match="no encoding 'klingon'"):
        receive(home.warehouse, home.folders, file, batch_id="k", admission=Admission(encoding="klingon"))


def test_a_folder_of_parts_becomes_one_batch_and_a_fault_is_named_in_its_part(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "spark.parquet"
    folder.mkdir()
    batch(folder / "part-00000", "one", "two")
    (folder / "part-00001").write_text('{"instruction_id": "x", "instruction": "three"}\n')
    received = receive(home.warehouse, home.folders, folder)
    assert received.batch_id == "spark"
    assert received.remark == "is read as: 2 part files"
    assert len(load_batch(latest_revision(home.warehouse, home.folders, "spark").path)) == 3
    (folder / "part-00001").write_text('{"instruction_id": "i1", "instruction": "three"}\n')
    with pytest.raises(InvalidInput, match=r"part-00001, row 1, column 'instruction_id': 'i1' is already"):
        receive(home.warehouse, home.folders, folder, batch_id="other")


def test_a_folder_in_the_inbox_is_taken_in_once_it_is_whole(home: Home) -> None:
    folder = home.folders.inbox / "weekly"
    folder.mkdir()
    batch(folder / "part-0.jsonl", "one")
    assert look(home).received == []
    (folder / "_SUCCESS").touch()
    taken = look(home)
    assert ids(taken) == ["weekly"]
    assert not folder.exists()
    assert taken.remarks == ["weekly is read as: 1 part files"]


@pytest.mark.parametrize("beside", ["input", "context"])
def test_a_text_that_is_divided_over_two_columns_is_not_sent_in_part(home: Home, tmp_path: Path, beside: str) -> None:
    file = tmp_path / "alpaca.json"
    file.write_text(
        json.dumps([{"instruction_id": "1", "instruction": "Translate.", beside: "Good day", "output": ""}])
    )
    with pytest.raises(InvalidInput, match=f"alpaca.json, column '{beside}': .* would not be sent"):
        receive(home.warehouse, home.folders, file)
    alone = {"text_column": "instruction"}
    assert receive(home.warehouse, home.folders, file, request=alone).is_new
