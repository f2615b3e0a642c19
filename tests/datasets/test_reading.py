"""Files are read in a stream: what is held is about what is kept, and one cap holds for every format."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import load_batch, reading
from routing_assets.datasets.reading import read_json_lines, read_raw_table, records_to_table
from routing_assets.datasets.routerbench import unwrap_prompt
from routing_assets.foundation.errors import InvalidInput

N = 4000


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def peak(path: Path) -> int:
    tracemalloc.start()
    try:
        load_batch(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["table", "requests"])
def test_jsonl_is_held_as_columns_not_as_objects(tmp_path: Path, kind: str) -> None:
    numbers = list(range(300))
    table = ({"instruction_id": str(i), "instruction": f"text {i}", "notes": numbers} for i in range(N))
    requests = (
        {"custom_id": str(i), "body": {"messages": [{"role": "user", "content": f"text {i}"}], "tools": [numbers]}}
        for i in range(N)
    )
    path = lines(tmp_path / "b.jsonl", *(table if kind == "table" else requests))
    load_batch(lines(tmp_path / "small.jsonl", *json_of(path)[:2]))
    assert peak(path) < path.stat().st_size  # as objects it was seven times the file


def json_of(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_columns_of_several_chunks_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", 1)
    mixed = [{"a": 1, "b": 1, "c": "x", "d": [1]}, {"a": 2.5, "b": "two", "d": "t"}, {"c": None, "e": True}]
    raw = records_to_table(iter(mixed), source="x")
    assert raw.columns.to_pydict() == {
        "a": [1.0, 2.5, None],
        "b": ["1", "two", None],
        "c": ["x", None, None],
        "d": ["[1]", "t", None],
        "e": [None, None, True],
    }
    whole = records_to_table(iter(mixed), source="x", wanted=("a",)).columns
    assert whole.column_names == list("abcde")
    assert whole["b"].null_count == 3


def test_one_cap_holds_for_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"instruction_id": str(i), "instruction": "text"} for i in range(50)]
    lines(tmp_path / "b.jsonl", *rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    (tmp_path / "b.csv").write_text("instruction_id,instruction\n" + "".join(f"{i},text\n" for i in range(50)))
    for limit, value, said in (
        ("MOST_ROWS", 49, "rows"),
        ("MOST_COLUMNS", 1, "columns|keys"),
        ("MOST_BYTES", 300, "GiB"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(reading, limit, value)
            for suffix in (".jsonl", ".parquet", ".csv"):
                with pytest.raises(InvalidInput, match=f"too large: .*({said})"):
                    read_raw_table(tmp_path / f"b{suffix}")


def test_a_line_beyond_the_longest_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 100)
    path = lines(tmp_path / "b.jsonl", {"a": 1}, {"a": "x" * 200})
    with pytest.raises(InvalidInput, match="row 2: the line has more than"):
        list(read_json_lines(path))


def test_a_byte_that_is_no_utf8_is_found_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BYTES_AT_ONCE", 7)
    for text, row in (
        (b"a,b\n1,\xc3\xa9\n2,\xc3\xa9\n", None),
        (b"a,b\n1,\xc3\xa9\n2,\xff\n", 3),
        (b"a,b\n1,2\n3,\xc3", 3),
    ):
        (tmp_path / "b.csv").write_bytes(text)
        if row is None:
            assert read_raw_table(tmp_path / "b.csv").columns["b"].to_pylist() == ["é", "é"]
        else:
            with pytest.raises(InvalidInput, match=f"row {row}: byte"):
                read_raw_table(tmp_path / "b.csv")


def test_a_prompt_cell_nested_too_deeply_is_a_text_like_any_other() -> None:
    for depth in (2_000, 200_000):
        cell = "[" * depth + "]" * depth
        assert unwrap_prompt(cell) == cell
