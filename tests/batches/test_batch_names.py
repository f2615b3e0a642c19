"""A file whose name cannot be a batch's is found by either name, and said to have another."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from routing_assets.batches.inbox import TakenIn, take_in
from routing_assets.batches.known import known_batch
from routing_assets.batches.outcome_inbox import outcomes_wait, take_in_outcomes
from routing_assets.batches.receive import receive
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home


def batch(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text(f"instruction_id,instruction\n1,{name}\n".replace("\x1b", ""))
    return path


@pytest.mark.parametrize("name", ["my file (2).csv", "päckchen.csv", "-x.csv", "a\x1b[31m.csv", "..x.csv", "%2e.csv"])
def test_a_name_that_becomes_another_is_said_and_understood(home: Home, tmp_path: Path, name: str) -> None:
    received = receive(home.warehouse, home.folders, batch(tmp_path, name))
    assert received.remark == f"becomes batch '{received.batch_id}', which is its name in every command and folder"
    for said in (received.batch_id, name, Path(name).stem):
        assert known_batch(home.warehouse, said) == received.batch_id


@pytest.mark.parametrize(
    "name", ["../../../x", "/etc/x", "..", ".", "", "a\nb", "a\x00b", "x" * 5000, "\udcff", "%", "*"]
)
def test_nobody_knows_a_path(home: Home, tmp_path: Path, name: str) -> None:
    receive(home.warehouse, home.folders, batch(tmp_path, "weekly.csv"))
    with pytest.raises(InvalidInput, match="no file was received for batch"):
        known_batch(home.warehouse, name)


def test_the_inbox_says_so(home: Home) -> None:
    batch(home.folders.inbox, "my file (2).csv")
    taken = take_in(home.warehouse, home.folders, take_in(home.warehouse, home.folders, {}).seen)
    (remark,) = taken.remarks
    assert remark.startswith(f"my file (2).csv becomes batch '{taken.received[0].batch_id}'")


def test_a_plain_name_is_not_remarked_on(home: Home, tmp_path: Path) -> None:
    assert receive(home.warehouse, home.folders, batch(tmp_path, "weekly.csv")).remark == ""
    assert receive(home.warehouse, home.folders, batch(tmp_path, "other file.csv"), batch_id="mine").remark == ""


def test_a_plain_name_is_never_taken_for_another_batch(home: Home, tmp_path: Path) -> None:
    receive(home.warehouse, home.folders, batch(tmp_path, "weekly.csv"), batch_id="mistake")
    with pytest.raises(InvalidInput, match="no batch 'weekly'; files of that name became mistake"):
        known_batch(home.warehouse, "weekly")
    capital = receive(home.warehouse, home.folders, batch(tmp_path, "Mistake.csv"))
    with pytest.raises(InvalidInput, match=f"became {capital.batch_id}"):
        known_batch(home.warehouse, "Mistake")


def test_a_name_of_several_batches_is_refused_with_all_of_them(home: Home, tmp_path: Path) -> None:
    for ending in ("csv", "CSV"):
        receive(home.warehouse, home.folders, batch(tmp_path, f"my file.{ending}"))
    with pytest.raises(InvalidInput, match=r"became my-file-\w{8}, my-file-\w{8}\. Give the batch's id"):
        known_batch(home.warehouse, "my file")


def test_the_batch_that_a_small_file_was_joined_to_is_named(home: Home) -> None:
    row = {"batch_id": ["joined-1"], "source_id": ["a"], "file_name": ["a.csv"], "file_sha256": ["0"]}
    home.warehouse.append("joined_files", pa.table(row))
    with pytest.raises(InvalidInput, match="files of that name became joined-1"):
        known_batch(home.warehouse, "a")


def test_a_folder_of_outcomes_may_be_called_like_the_file(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = receive(home.warehouse, home.folders, batch(tmp_path, "my file (2).csv"))
    folder = home.folders.outcomes / "my file (2)"
    folder.mkdir()
    file = batch(folder, "part.csv")
    assert outcomes_wait(home.warehouse, home.folders, received.batch_id)
    taken_in = []
    monkeypatch.setattr(
        "routing_assets.batches.outcome_inbox.receive_outcomes",
        lambda warehouse, store, folders, path, batch_id, move: taken_in.append(batch_id) or [],
    )
    taken = TakenIn()
    assert take_in_outcomes(home.warehouse, home.store, home.folders, folder.name, [file], taken) == received.batch_id
    assert taken_in == [received.batch_id]
    assert taken.remarks == [f"outcomes/my file (2) is taken for batch '{received.batch_id}', which came as that file"]


def test_outcomes_of_a_batch_that_nobody_knows_are_rejected_and_kept(home: Home) -> None:
    (home.folders.outcomes / "nope").mkdir()
    taken = TakenIn()
    assert (
        take_in_outcomes(
            home.warehouse, home.store, home.folders, "nope", [batch(home.folders.outcomes / "nope", "part.csv")], taken
        )
        is None
    )
    assert "no file was received for batch 'nope'" in taken.rejected[0]
    assert len(list(home.folders.rejected.glob("*.csv"))) == 1
