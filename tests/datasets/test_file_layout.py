"""Batches whose columns have other names, and ids that are made only when asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.batches.policy import layout_of, layout_settings
from routing_assets.batches.request_files import original_requests
from routing_assets.datasets import load_batch
from routing_assets.datasets.file_layout import FileLayout
from routing_assets.datasets.portions import open_batch
from routing_assets.foundation.errors import InvalidInput
from routing_assets.providers.lines import batch_line

ROWS = [{"key": f"k{n % 3}", "prompt": f"text {n % 3}", "tenant": "t", "other": n} for n in range(5)]
MAPPED = FileLayout({"instruction": "prompt", "group": "tenant"}, "row")


def table(path: Path) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif path.suffix == ".csv":
        path.write_text("\n".join([",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)]) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_columns_are_mapped_and_ids_made_in_every_portion(tmp_path: Path, ending: str) -> None:
    path = table(tmp_path / f"b{ending}")
    first = 2 if ending == ".csv" else 1
    for rows in (2, 100):
        with open_batch(path, rows=rows, layout=MAPPED) as portions:
            batch = portions.read()
        assert batch.instruction_id.tolist() == [f"row-{n + first}" for n in range(5)]
        assert batch.instruction.tolist() == [row["prompt"] for row in ROWS]
        assert batch.group is not None
        assert set(batch.group) == {"t"}
        assert set(batch.ignored_columns) == {"key", "other"}


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_ids_from_content_stay_with_it_and_are_unique(tmp_path: Path, ending: str) -> None:
    path = table(tmp_path / f"b{ending}")
    with open_batch(path, rows=2, layout=FileLayout({"instruction": "prompt"}, "text")) as portions:
        ids = portions.read().instruction_id.tolist()
    assert len(set(ids)) == 5
    assert ids[3:] == [f"{ids[0]}-2", f"{ids[1]}-2"]
    assert ids[0] == load_batch(path, layout=FileLayout({"instruction": "prompt"}, "text")).instruction_id[0]


def test_what_is_missing_is_named_with_the_option(tmp_path: Path) -> None:
    path = table(tmp_path / "b.csv")
    with pytest.raises(InvalidInput, match=r"'instruction_id'.*If the column 'key' holds it, add --id-column key"):
        load_batch(path)
    with pytest.raises(InvalidInput, match=r"'instruction'.*'prompt' holds it, add --text-column prompt"):
        load_batch(path, layout=FileLayout({}, "row"))
    with pytest.raises(InvalidInput, match="'k0' is already in row 2"):
        load_batch(path, layout=FileLayout({"instruction": "prompt", "instruction_id": "key"}))
    for ending in (".csv", ".jsonl"):
        with pytest.raises(InvalidInput, match=r"no column 'prmpt'; the file has .*Correct --text-column"):
            load_batch(table(tmp_path / f"b{ending}"), layout=FileLayout({"instruction": "prmpt"}, "row"))


def test_ids_are_made_of_nothing_that_has_some(tmp_path: Path) -> None:
    for ending in (".csv", ".jsonl"):
        with pytest.raises(InvalidInput, match="already has a column of them"):
            load_batch(table(tmp_path / f"b{ending}"), layout=FileLayout({"instruction_id": "key"}, "row"))


def chats(path: Path) -> Path:
    said = [{"messages": [{"role": "user", "content": text}]} for text in ("a", "b", "a")]
    lines = [said[0] | {"id": "own"}, *said[1:], {"run": 7, "request": {"contents": [{"parts": [{"text": "c"}]}]}}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_requests_without_ids_get_some_when_asked_and_are_sent_under_them(tmp_path: Path) -> None:
    path = chats(tmp_path / "b.jsonl")
    assert len(load_batch(path)) == 1
    layout = FileLayout({}, "row")
    batch = load_batch(path, layout=layout)
    assert batch.instruction_id.tolist() == ["own", "row-2", "row-3", "row-4"]
    originals = original_requests(path, layout=layout)
    assert originals is not None
    assert [batch_line(json.loads(line)).id for line in originals] == batch.instruction_id.tolist()


def test_a_request_may_keep_its_id_in_a_field_of_another_name(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text('{"run": 7, "request": {"contents": [{"parts": [{"text": "c"}]}]}}\n')
    layout = FileLayout({"instruction_id": "run"})
    assert load_batch(path, layout=layout).instruction_id.tolist() == ["7"]
    originals = original_requests(path, layout=layout)
    assert originals is not None
    assert json.loads(next(originals))["key"] == 7


def test_a_standing_layout_leaves_files_of_ours_alone(tmp_path: Path) -> None:
    standing = FileLayout({"instruction_id": "uid", "instruction": "prompt", "group": "tenant"}, "row")
    assert standing.fitting(table(tmp_path / "b.parquet")) == MAPPED
    ours = tmp_path / "ours.jsonl"
    ours.write_text('{"instruction_id": "1", "instruction": "a", "prompt": "b"}\n')
    assert not standing.fitting(ours)
    assert standing.fitting(chats(tmp_path / "chats.jsonl")) == FileLayout({}, "row")


def test_a_layout_is_said_by_settings() -> None:
    settings = {"text_column": "prompt", "group_column": "tenant", "make_ids": "position"}
    assert layout_of(settings) == MAPPED
    assert layout_settings(MAPPED) == settings
    assert layout_settings(FileLayout()) == {}


def test_an_odd_first_line_does_not_decide_what_a_file_is(tmp_path: Path) -> None:
    requests = [{"custom_id": str(n), "body": {"input": f"text {n}"}} for n in range(3)]
    rows = [{"instruction_id": f"r{n}", "instruction": f"text {n}"} for n in range(3)]
    path = tmp_path / "b.jsonl"
    for records, ids, said in (
        ([{"version": 1}, *requests], ["0", "1", "2"], "not one: it has 'version'"),
        ([rows[0], *requests], ["0", "1", "2"], "among requests, this is a row of a table"),
        ([requests[0], *rows], ["r0", "r1", "r2"], "a request among rows of a table"),
    ):
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        batch = load_batch(path)
        assert batch.instruction_id.tolist() == ids
        ((reason, places),) = batch.set_aside.items()
        assert said in reason
        assert places == (0,)
        with pytest.raises(InvalidInput, match=r"b\.jsonl, row 1: "):
            load_batch(path, strict=True)
