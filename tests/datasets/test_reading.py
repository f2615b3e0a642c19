"""Files are read in a stream: what is held is about what is kept, and one cap holds for every format."""

from __future__ import annotations

import errno
import json
import os
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import load_batch, reading
from routing_assets.datasets.reading import read_json_lines, read_raw_table, records_to_table
from routing_assets.datasets.routerbench import unwrap_prompt
from routing_assets.foundation.errors import InvalidInput

N = 2000


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


@pytest.mark.slow
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


SUFFIXES = (".parquet", ".csv", ".jsonl")


def written(path: Path) -> Path:
    """A good table of one row."""
    table = pa.table({"instruction_id": ["1"], "instruction": ["text"]})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        path.write_text("instruction_id,instruction\n1,text\n")
    else:
        lines(path, *table.to_pylist())
    return path


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process can open no other file."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened[0] + 1, limits[1]))
    try:
        with suppress(OSError):  # below the new limit some numbers may be free
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for number in opened:
            os.close(number)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_process_without_a_free_descriptor_blames_no_file(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"b{suffix}")
    with no_more_files(), pytest.raises(OSError, match="Too many open files") as raised:
        read_raw_table(path)
    assert raised.value.errno == errno.EMFILE
    assert len(read_raw_table(path)) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("step", ["__init__", "iter_batches"])
def test_a_fault_of_the_machine_while_parquet_is_read_stays_one(
    tmp_path: Path, step: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    path = written(tmp_path / "b.parquet")
    monkeypatch.setattr(pq.ParquetFile, step, fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        read_raw_table(path)


@pytest.mark.parametrize("damage", ["cut", "footer", "pages", "empty"])
def test_a_damaged_parquet_is_the_files_fault(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "b.parquet"
    pq.write_table(pa.table({"instruction": [f"text {i}" * 50 for i in range(500)]}), path, compression="snappy")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "footer":
        content[-200:-8] = b"\xff" * 192
    elif damage == "pages":
        content[40:400] = b"\xff" * 360
    else:
        content.clear()
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="not a readable Parquet file"):
        read_raw_table(path)


def test_blank_lines_and_commas_at_the_ends_of_lines_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1},\r\n\r\n  \n{"a": 2},\n{"a": 3}\n\n')
    assert [record["a"] for record in read_json_lines(path)] == [1, 2, 3]
    path.write_text('{"a": 1},\n\n{"a": \n')
    with pytest.raises(InvalidInput, match=r"row 2: the line is not valid JSON"):
        list(read_json_lines(path))
