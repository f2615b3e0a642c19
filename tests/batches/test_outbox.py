"""A batch's folder goes from one decision to the next; what others put there stays."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from routing_assets.batches import outbox
from routing_assets.batches.outbox import next_decision


@pytest.fixture(params=["exchanged", "refilled"])
def swap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With a file system that exchanges folders, and with one that does not."""
    if request.param == "refilled":

        def unsupported(*_: object) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

        monkeypatch.setattr(outbox, "exchange", unsupported)
    return str(request.param)


def hand_over(root: Path, decision: str, *names: str) -> Path:
    folder = root / "outbox" / "weekly"
    with next_decision(folder, root / "staged" / "weekly") as new:
        for name in names:
            (new / name).write_text(decision)
        (new / "by_source_file").mkdir()
        (new / "by_source_file" / f"{decision}.jsonl").write_text(decision)
        (new / "manifest.json").write_text(json.dumps({"files": [{"name": name} for name in names]}))
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("swap")
def test_no_file_of_the_earlier_decision_is_left(tmp_path: Path) -> None:
    hand_over(tmp_path, "one", "requests-01-a-001.jsonl", "requests-02-b-001.jsonl", "set-aside.jsonl")
    folder = hand_over(tmp_path, "two", "requests-01-b-001.jsonl")
    assert names(folder) == {"requests-01-b-001.jsonl", "by_source_file/two.jsonl", "manifest.json"}
    assert (folder / "requests-01-b-001.jsonl").read_text() == "two"
    assert not list((tmp_path / "staged").iterdir())


@pytest.mark.usefixtures("swap")
def test_files_that_runners_put_beside_a_decision_are_not_lost(tmp_path: Path) -> None:
    folder = hand_over(tmp_path, "one", "requests-01-a-001.jsonl")
    (folder / "answers.jsonl").write_text("paid for")
    (folder / "logs").mkdir()
    (folder / "logs" / "run.txt").write_text("done")
    hand_over(tmp_path, "two", "requests-01-a-001.jsonl")
    assert (folder / "answers.jsonl").read_text() == "paid for"
    assert (folder / "logs" / "run.txt").read_text() == "done"


def test_a_folder_of_an_earlier_version_that_was_left_half_way_is_replaced_whole(tmp_path: Path, swap: str) -> None:
    folder = tmp_path / "outbox" / "weekly"
    folder.mkdir(parents=True)
    for name in ("requests-01-a-001.jsonl", "requests-09-z-001.jsonl", "routed.jsonl", ".0123456789ab.partial"):
        (folder / name).write_text(swap)
    hand_over(tmp_path, "two", "requests-01-a-001.jsonl")
    assert names(folder) == {"requests-01-a-001.jsonl", "by_source_file/two.jsonl", "manifest.json"}


def test_a_failed_hand_off_leaves_the_decision_before(tmp_path: Path) -> None:
    folder = hand_over(tmp_path, "one", "requests-01-a-001.jsonl")
    before = names(folder)
    with pytest.raises(FileNotFoundError):
        hand_over(tmp_path, "two", "requests-01-a-001.jsonl", "missing/requests.jsonl")
    assert names(folder) == before
    assert (folder / "requests-01-a-001.jsonl").read_text() == "one"
    hand_over(tmp_path, "three", "requests-01-a-001.jsonl")
    assert (folder / "requests-01-a-001.jsonl").read_text() == "three"


def test_a_batchs_folder_is_not_a_link_and_may_be_moved_away(tmp_path: Path) -> None:
    folder = hand_over(tmp_path, "one", "requests-01-a-001.jsonl")
    folder.rename(tmp_path / "taken")
    assert (tmp_path / "taken" / "requests-01-a-001.jsonl").read_text() == "one"


def test_other_errors_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    hand_over(tmp_path, "one", "requests-01-a-001.jsonl")
    monkeypatch.setattr(outbox, "exchange", broken)
    with pytest.raises(OSError, match="Input/output error"):
        hand_over(tmp_path, "two", "requests-01-a-001.jsonl")
