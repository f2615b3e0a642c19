"""Whatever is dropped into the inbox is taken in once, by whichever look gets to it, or kept with a reason."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from crash_points import CrashPoints
from forked import killed_after
from helpers import drop, look

from routing_assets.batches.ends import withdraw_batch
from routing_assets.batches.inbox import take_in
from routing_assets.batches.join_small_files import Coalescing
from routing_assets.batches.policy import read_policy
from routing_assets.datasets import load_batch
from routing_assets.datasets.portions import BatchPortions, open_batch
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home


def drop_requests(home: Home, name: str, *texts: str) -> Path:
    rows = [
        {"custom_id": f"c{n}", "body": {"messages": [{"role": "user", "content": text}], "temperature": 0}}
        for n, text in enumerate(texts)
    ]
    path = home.folders.inbox / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ledger(home: Home) -> list[tuple[str, int]]:
    with home.warehouse.reader() as connection:
        return connection.execute("select batch_id, instructions from batches order by received_at").fetchall()


NAMES = {
    "spaces": "a weekly  batch.jsonl",
    "unicode": "päckchen-日本.jsonl",
    "right to left": "a\u202egnp.jsonl",
    "as long as a name can be": "n" * 249 + ".jsonl",
    "line break": "a\nb.jsonl",
    "escape sequence": "a\x1b[31m.jsonl",
    "leading dashes": "--output=x.jsonl",
    "dots": "...jsonl",
    "percent": "%2e%2e%2fx.jsonl",
    "backslash": "x\\..\\y.jsonl",
    "shell": "$(touch x);`id`.jsonl",
    "sql": "x'; drop table batches; --.jsonl",
    "partition wildcard": "[*].jsonl",
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_tricky_name_is_just_a_name(home: Home, kind: str) -> None:
    drop(home.folders.inbox / (NAMES[kind] if kind != "dots" else "x...jsonl"), "one")
    taken = look(home)
    assert (len(taken.received), taken.rejected) == (1, [])
    kept = taken.received[0].path
    assert kept.resolve().is_relative_to(home.folders.received.resolve())
    assert load_batch(kept).instruction.tolist() == ["one"]
    assert len(ledger(home)) == 1


def test_a_name_that_is_no_utf_8_is_taken_in_and_rejected_like_any_other(home: Home) -> None:
    for name, content in ((b"\xff\xfe.csv", b"instruction_id,instruction\n1,one\n"), (b"\xff\xfd.csv", b"x\n1\n")):
        (home.folders.inbox / os.fsdecode(name)).write_bytes(content)
    taken = look(home)
    assert (len(taken.received), len(taken.rejected)) == (1, 1)
    taken.rejected[0].encode()
    assert "\\udcff" in next(home.folders.rejected.glob("*.reason.txt")).read_text()


def test_names_that_differ_in_capitals_do_not_share_a_folder(home: Home) -> None:
    for name in ("Weekly.jsonl", "weekly.jsonl", "WEEKLY.jsonl"):
        drop(home.folders.inbox / name, name)
    ids = {received.batch_id.lower() for received in look(home).received}
    assert len(ids) == 3
    drop(home.folders.inbox / "weekly.jsonl", "weekly.jsonl")
    assert not look(home).received[0].is_new


def test_of_two_files_of_one_batch_the_other_is_rejected_with_a_reason_and_not_lost(home: Home) -> None:
    drop(home.folders.inbox / "ords.jsonl", "one", "two")
    drop(home.folders.inbox / "ords.csv").write_text("instruction_id,instruction\ni0,three\n")
    for at, name in enumerate(("ords.jsonl", "ords.csv")):
        os.utime(home.folders.inbox / name, (at, at))
    taken = look(home)
    assert [batch.batch_id for batch in taken.received] == ["ords"]
    assert ledger(home) == [("ords", 1)]
    assert "'ords.csv' is newer and the same batch, 'ords'" in taken.rejected[0]
    assert next(home.folders.rejected.glob("*.jsonl")).read_text().count("\n") == 2


def test_a_file_is_taken_where_the_other_of_its_batch_cannot_be_used(home: Home) -> None:
    drop(home.folders.inbox / "ords.csv").write_text("no,columns\n1,2\n")
    drop(home.folders.inbox / "ords.jsonl", "one")
    os.utime(home.folders.inbox / "ords.jsonl", (1, 1))
    taken = look(home)
    assert (len(taken.received), len(taken.rejected)) == (1, 1)


def test_a_file_that_replaces_another_says_so(home: Home) -> None:
    drop(home.folders.inbox / "ords.jsonl", "one", "two")
    look(home)
    drop(home.folders.inbox / "ords.csv").write_text("instruction_id,instruction\ni0,three\n")
    taken = take_in(home.warehouse, home.folders, take_in(home.warehouse, home.folders, {}).seen)
    assert taken.remarks == ["ords.csv replaces the earlier file of 2 instructions of batch 'ords'"]


def test_links_pipes_and_folders_are_rejected_unopened(home: Home, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"instruction_id": "1", "instruction": "secret"}\n')
    (home.folders.inbox / "link.jsonl").symlink_to(secret)
    (home.folders.inbox / "dangling.csv").symlink_to("nowhere")
    os.mkfifo(home.folders.inbox / "pipe.csv")
    (home.folders.inbox / "folder.csv").mkdir()
    (home.folders.inbox / "staging").mkdir()
    taken = look(home)
    assert taken.received == []
    assert len(taken.rejected) == 4
    assert {path.name for path in home.folders.inbox.iterdir()} == {"staging", "rejected"}
    assert secret.read_text().count("secret") == 1
    assert ledger(home) == []


def test_unfinished_and_hidden_files_are_left_alone(home: Home) -> None:
    for name in (".hidden.jsonl", "big.jsonl.part", "big.csv.tmp"):
        drop(home.folders.inbox / name, "one")
    taken = look(home)
    assert (taken.received, taken.rejected) == ([], [])


def test_a_program_that_still_writes_changes_nothing_of_what_was_taken_in(home: Home) -> None:
    with drop(home.folders.inbox / "slow.jsonl", "one").open("a") as writer:
        received = look(home).received[0]
        writer.write('{"instruction_id": "late", "instruction": "two"}\n')
    assert load_batch(received.path).instruction.tolist() == ["one"]


def killed_at(moment: int | str, home: Home, small: Coalescing | None = None) -> bool:
    """Whether a look into the inbox got as far as this moment, at which its process was killed."""

    def work() -> None:
        points = CrashPoints(moment).install_on_files().install_on_commits()
        os.unlink = points.around(os.unlink, "removal of a file")
        shutil.copyfile = points.around(shutil.copyfile, "copy")
        look(home, small, after_minutes=10)

    return killed_after(work, 60.0, home.root / "killed.log")


def homes_killed_at_every_moment(
    home: Home, files: dict[str, str], small: Coalescing | None = None
) -> Iterator[tuple[int, Home]]:
    """Copies of ``home`` into which files of one instruction were dropped; each look was killed a moment later."""
    for name, text in files.items():
        drop(home.folders.inbox / name, text)
    for moment in itertools.count(step=2):  # after one is before the next
        copy = Home(home.root.with_name(f"killed-{moment}"))
        shutil.copytree(home.root, copy.root)
        if not killed_at(moment, copy, small):
            return
        yield moment, copy


def test_an_intake_killed_at_any_moment_goes_on_without_loss_or_double(home: Home) -> None:
    moments = 0
    for moment, killed in homes_killed_at_every_moment(home, {"weekly.jsonl": "one"}):
        taken = look(killed)
        assert ledger(killed) == [("weekly", 1)], moment
        if taken.received:  # else the run is asked for by the schedule, which finds what was never decided
            assert taken.received[0].run_key.endswith("#1")
        content = (home.folders.inbox / "weekly.jsonl").read_bytes()
        assert [path.read_bytes() for path in killed.folders.received.rglob("*.jsonl")] == [content], moment
        assert not list(killed.folders.claimed.iterdir())
        assert not list(killed.folders.inbox.glob("*.jsonl"))
        moments += 1
    assert moments >= 5  # the claim, the copy, the commit and the removals


def test_a_revision_that_returns_to_old_content_is_not_doubled_by_a_crash(home: Home) -> None:
    for text in ("one", "two"):
        drop(home.folders.inbox / "weekly.jsonl", text)
        look(home)
    drop(home.folders.inbox / "weekly.jsonl", "one")
    assert killed_at("after commit", home)
    received = look(home).received[0]
    assert (received.revision, len(ledger(home))) == (3, 3)


SMALL = Coalescing(below=5, wait_minutes=10)


def test_small_files_wait_until_they_are_enough(home: Home) -> None:
    drop(home.folders.inbox / "a.jsonl", "one", "two")
    drop(home.folders.inbox / "b.csv").write_text("instruction_id,instruction\ni0,three\ni1,four\n")
    assert look(home, SMALL).received == []
    assert {path.name for path in home.folders.inbox.glob("[a-z]*.*")} == {"a.jsonl", "b.csv"}
    drop(home.folders.inbox / "c.jsonl", "five")
    drop(home.folders.inbox / "large.jsonl", *"123456")
    received = {batch.batch_id: batch for batch in look(home, SMALL).received}
    assert "large" in received
    (joined,) = (batch for name, batch in received.items() if name.startswith("joined-"))
    batch = load_batch(joined.path)
    assert sorted(batch.instruction_id) == ["a/i0", "a/i1", "b/i0", "b/i1", "c/i0"]
    assert batch.source_file is not None
    assert dict(zip(batch.instruction_id, batch.source_file, strict=True))["b/i1"] == "b.csv"
    assert {path.name for path in (joined.path.parent / "sources").iterdir()} == {"a.jsonl", "b.csv", "c.jsonl"}


def test_small_files_wait_no_longer_than_they_may(home: Home) -> None:
    drop(home.folders.inbox / "a.jsonl", "one")
    drop(home.folders.inbox / "b.jsonl", "two")
    assert look(home, SMALL, after_minutes=9.9).received == []
    assert [batch.batch_id[:7] for batch in look(home, SMALL, after_minutes=10).received] == ["joined-"]


def test_a_small_file_that_nobody_joins_is_a_batch_of_its_own(home: Home) -> None:
    drop(home.folders.inbox / "a.jsonl", "one")
    assert [batch.batch_id for batch in look(home, SMALL, after_minutes=10).received] == ["a"]


def test_only_files_of_one_shape_join(home: Home) -> None:
    drop(home.folders.inbox / "a.jsonl", "one", "two", "three")
    drop_requests(home, "b.jsonl", "four", "five", "six")
    drop(home.folders.inbox / "c.csv").write_text("instruction_id,instruction,group\ni0,seven,tenant\n")
    assert look(home, SMALL).received == []
    drop_requests(home, "d.jsonl", "eight", "nine")
    (joined,) = look(home, SMALL).received
    assert joined.path.suffix == ".jsonl"
    requests = [json.loads(line) for line in joined.path.read_text().splitlines()]
    assert [request["custom_id"] for request in requests] == ["b/c0", "b/c1", "b/c2", "d/c0", "d/c1"]
    assert all(request["body"]["temperature"] == 0 for request in requests)


def test_a_small_file_sent_again_unchanged_is_not_joined_again(home: Home) -> None:
    for _ in range(2):
        for name in ("a.jsonl", "b.jsonl"):
            drop(home.folders.inbox / name, name)
        look(home, SMALL, after_minutes=10)
    assert [instructions for _, instructions in ledger(home)] == [2]
    assert not list(home.folders.inbox.glob("*.jsonl"))


@pytest.mark.parametrize("ended", ["dispatched", "withdrawn"])
def test_a_small_file_whose_batch_ended_is_rejected_with_a_reason_and_not_lost(home: Home, ended: str) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        drop(home.folders.inbox / name, name)
    (batch,) = look(home, SMALL, after_minutes=10).received
    if ended == "withdrawn":
        withdraw_batch(home.warehouse, home.folders, batch.batch_id)
    else:
        row = {"batch_id": [batch.batch_id], "dagster_run_id": ["run"]}
        home.warehouse.append("dispatches", pa.table(row))
    drop(home.folders.inbox / "a.jsonl", "a.jsonl")
    (reason,) = look(home, SMALL, after_minutes=10).rejected
    assert batch.batch_id in reason
    assert ended in reason
    assert [path.suffix for path in home.folders.rejected.glob("*.jsonl")] == [".jsonl"]


def test_a_bad_small_file_is_rejected_and_the_others_join(home: Home) -> None:
    drop(home.folders.inbox / "a.jsonl", "one")
    drop(home.folders.inbox / "bad.jsonl", " ")
    drop(home.folders.inbox / "c.jsonl", "two")
    taken = look(home, SMALL, after_minutes=10)
    assert len(taken.rejected) == 1
    assert [instructions for _, instructions in ledger(home)] == [2]


def test_small_files_that_wait_are_read_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def read(path: Path, **options: Any) -> AbstractContextManager[BatchPortions]:
        reads.append(path.name)
        return open_batch(path, **options)

    monkeypatch.setattr("routing_assets.batches.inbox.open_batch", read)
    drop(home.folders.inbox / "a.jsonl", "one")
    drop(home.folders.inbox / "b.jsonl", "two")
    seen = take_in(home.warehouse, home.folders, {}, SMALL, now_ns=10**18).seen
    for minute in range(1, 6):
        before = json.loads(json.dumps(seen))  # as the sensor's cursor keeps it
        seen = take_in(home.warehouse, home.folders, before, SMALL, now_ns=10**18 + minute * 60 * 10**9).seen
    assert sorted(reads) == ["a.jsonl", "b.jsonl"]
    drop(home.folders.inbox / "b.jsonl", "another")
    seen = take_in(home.warehouse, home.folders, seen, SMALL, now_ns=10**18 + 6 * 60 * 10**9).seen
    take_in(home.warehouse, home.folders, seen, SMALL, now_ns=10**18 + 7 * 60 * 10**9)
    assert sorted(reads) == ["a.jsonl", "b.jsonl", "b.jsonl"]


def test_a_small_file_of_which_a_record_is_set_aside_joins_none(home: Home) -> None:
    drop(home.folders.inbox / "a.jsonl", "one", " ")
    drop(home.folders.inbox / "b.jsonl", "two")
    drop(home.folders.inbox / "c.jsonl", "three")
    assert [batch.batch_id[:7] for batch in look(home, SMALL, after_minutes=10).received] == ["joined-", "a"]


def test_requests_of_several_endpoints_join_and_keep_theirs(home: Home) -> None:
    for name, url in (("a", "/v1/chat/completions"), ("b", "/v1/responses")):
        (home.folders.inbox / f"{name}.jsonl").write_text(
            json.dumps({"custom_id": "1", "url": url, "body": {"input": name}}) + "\n"
        )
    (joined,) = look(home, SMALL, after_minutes=10).received
    assert [json.loads(line)["url"] for line in joined.path.read_text().splitlines()] == [
        "/v1/chat/completions",
        "/v1/responses",
    ]


@pytest.mark.parametrize("settings", [None, Coalescing(below=100)])
def test_a_file_over_the_cap_leaves_the_inbox_uncopied(
    home: Home, settings: Coalescing | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing_assets.datasets.reading.MOST_BYTES", 10)
    monkeypatch.setattr("routing_assets.batches.receive.shutil.copyfile", None)
    drop(home.folders.inbox / "big.jsonl", "one", "two")
    drop(home.folders.inbox / "big.csv").write_text("instruction_id,instruction\n1,a\n")
    rejected = look(home, settings).rejected
    assert len(rejected) == 2
    assert all("too large" in reason for reason in rejected)
    assert {path.suffix for path in home.folders.rejected.iterdir()} == {".jsonl", ".csv", ".txt"}
    assert not list(home.folders.inbox.glob("big*"))


@pytest.mark.slow
def test_a_join_killed_at_any_moment_loses_and_doubles_no_instruction(home: Home) -> None:
    texts, moments = ["one", "two", "three"], 0
    dropped = {f"{text}.jsonl": text for text in texts}
    for moment, killed in homes_killed_at_every_moment(home, dropped, SMALL):
        look(killed, SMALL, after_minutes=10)
        assert sum(instructions for _, instructions in ledger(killed)) == 3, moment
        newest = [
            path for path in killed.folders.received.rglob("*.*") if "sources" not in path.parts and path.is_file()
        ]
        assert sorted(text for path in newest for text in load_batch(path).instruction) == sorted(texts), moment
        assert not list(killed.folders.claimed.iterdir())
        moments += 1
    assert moments >= 7  # the claim of each file, and that of their list, besides


@pytest.mark.parametrize("value", ["5", "{wait_minutes: 3}", "{below: 0}", "{below: x}", "{below: 5, size: 3}"])
def test_a_wrong_setting_names_the_file(home: Home, value: str) -> None:
    home.policy_file.write_text(f"coalesce: {value}\n")
    with pytest.raises(InvalidInput, match=r"policy\.yaml.*coalesce"):
        read_policy(home.policy_file)


def test_coalescing_is_off_by_default(home: Home) -> None:
    assert read_policy(home.policy_file).coalesce is None
    drop(home.folders.inbox / "a.jsonl", "one")
    drop(home.folders.inbox / "b.jsonl", "two")
    assert len(look(home).received) == 2
