"""The same rows in every container people have them in are the same batch; what cannot be read is named."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import load_batch, load_labels, reading
from routing_assets.datasets.portions import open_batch
from routing_assets.datasets.reading import open_tables, read_raw_table, remarks_on
from routing_assets.foundation.errors import InvalidInput

ROWS = [
    {"instruction_id": f"i{n}", "instruction": f'A "text" | {n}; with,\tall\nof them: é', "task": ""} for n in range(9)
]


def as_csv(separator: str = ",", **style: object) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=separator, **style)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


JSON_LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ARRAY = json.dumps(ROWS).encode()
ESCAPED = as_csv(doublequote=False, escapechar="\\")
WRITTEN = {
    "b.csv": (as_csv(";"), ["separated by semicolons"]),
    "b.tsv": (as_csv("\t"), ["separated by tabs"]),
    "pipes.csv": (as_csv("|"), ["separated by vertical bars"]),
    "mark.csv": (b"\xef\xbb\xbf" + as_csv(";"), ["separated by semicolons"]),
    "excel.csv": (b"sep=;\r\n" + as_csv(";"), ["separated by semicolons"]),
    "escaped.csv": (ESCAPED, ["quotes are escaped by backslashes"]),
    "excel.txt": (as_csv("\t").decode().encode("utf-16"), ["UTF-16 text", "separated by tabs"]),
    "powershell.jsonl": (JSON_LINES.decode().encode("utf-16"), ["UTF-16 text"]),
    "b.csv.gz": (gzip.compress(as_csv()), ["packed by gzip"]),
    "called.csv": (gzip.compress(as_csv(";")), ["packed by gzip", "separated by semicolons"]),
    "appended.jsonl.gz": (gzip.compress(JSON_LINES[:99]) + gzip.compress(JSON_LINES[99:]), ["packed by gzip"]),
    "b.jsonl.zst": (pa.compress(JSON_LINES, "zstd", asbytes=True), ["packed by zstd"]),
    "nothing": (gzip.compress(JSON_LINES), ["packed by gzip"]),
    "b.json": (ARRAY, ["one JSON array"]),
    "pretty.json": (json.dumps(ROWS, indent=1).encode(), ["one JSON array"]),
    "array.json.gz": (gzip.compress(ARRAY), ["packed by gzip", "one JSON array"]),
    "wrapped.json": (json.dumps({"data": ROWS}, indent=1).encode(), []),
    "lines.json": (JSON_LINES, []),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_each_container_is_read_and_said(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing_assets.datasets.json_arrays._BYTES_AT_ONCE", 7)
    content, said = WRITTEN[name]
    (tmp_path / name).write_bytes(content)
    batch = load_batch(tmp_path / name)
    assert batch.instruction.tolist() == [row["instruction"] for row in ROWS]
    assert batch.instruction_id.tolist() == [row["instruction_id"] for row in ROWS]
    assert batch.task is None  # empty throughout
    assert remarks_on(tmp_path / name) == said


def test_a_sheet_of_excel_is_read(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["instruction_id", "instruction", "input_tokens", None])
    book.active.append([7, "one", 3.0, None])
    book.active.append(["b", "two", None, None])
    book.create_sheet("notes").append(["not read"])
    book.save(tmp_path / "b.xlsx")
    batch = load_batch(tmp_path / "b.xlsx")
    assert batch.instruction_id.tolist() == ["7", "b"]
    assert remarks_on(tmp_path / "b.xlsx") == ["only the sheet 'Sheet' is read, not 'notes'"]


def test_labels_of_a_european_spreadsheet_are_read(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(
        "instruction_id;instruction;small;large;small|cost\n1;a, b;0,5;1;0,0012\n2;c;1;0;\n"
    )
    labels = load_labels(tmp_path / "l.csv")
    assert labels.success.tolist() == [[0.5, 1], [1, 0]]
    assert labels.cost is not None
    assert labels.cost[0, 0] == 0.0012


def test_a_comma_that_may_part_thousands_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("instruction_id;instruction;m;m|input_tokens\n1;a;1;1,234\n")
    with pytest.raises(InvalidInput, match=r"row 2, column 'm\|input_tokens': '1,234' is.*without a comma"):
        load_labels(path)


@pytest.mark.parametrize("packed", ["gzip", "zstd"])
def test_a_kilobyte_that_stands_for_gigabytes_is_not_unpacked(
    tmp_path: Path, packed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 5 << 20)
    bomb = b"instruction_id,instruction\n" + b"1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n" * (1 << 19)
    (tmp_path / "b.csv").write_bytes(
        gzip.compress(bomb) if packed == "gzip" else pa.compress(bomb, packed, asbytes=True)
    )
    with pytest.raises(InvalidInput, match="too large: unpacked"):
        load_batch(tmp_path / "b.csv")


def test_a_packed_csv_is_never_held_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing_assets.datasets.csv_files.LONGEST_ROW", 1 << 17)
    rows = 100_000
    text = b"instruction_id,instruction\n" + b"".join(b"%d,%d-%s\n" % (n, n, b"x" * 99) for n in range(rows))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text))
    before = pa.total_allocated_bytes()
    with open_batch(tmp_path / "b.csv.gz", rows=1_000) as portions:
        held = max(pa.total_allocated_bytes() - before for _ in portions)
        assert portions.instructions == rows
    assert held < len(text) / 4


def test_a_row_beyond_the_longest_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing_assets.datasets.csv_files.LONGEST_ROW", 1 << 10)
    (tmp_path / "b.csv").write_text("instruction_id,instruction\n1,a\n2," + "x" * 5_000 + "\n3,c\n")
    with pytest.raises(InvalidInput, match=r"a row has more than .* or a double quote is never closed"):
        load_batch(tmp_path / "b.csv")


def test_an_optional_column_that_is_null_throughout_is_absent_from_labels(tmp_path: Path) -> None:
    about = {"instruction_id": ["1", "2"], "instruction": ["a", "b"], "task": pa.nulls(2)}
    pq.write_table(pa.table(about | {"model": ["m", "m"], "success": [1.0, 0.0]}), tmp_path / "long.parquet")
    pq.write_table(pa.table(about | {"m": [1.0, 0.0]}), tmp_path / "wide.parquet")
    assert load_labels(tmp_path / "long.parquet").task is None
    assert load_labels(tmp_path / "wide.parquet").task is None


@pytest.mark.parametrize("bytes_at_once", [1, 7, 64])
def test_rows_stay_whole_however_little_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_at_once: int
) -> None:
    monkeypatch.setattr("routing_assets.datasets.csv_files._BYTES_AT_ONCE", bytes_at_once)
    cells = ["plain", 'a "quoted"\nline, and more', "\n\n", '"', "é" * 200, ""]
    rows = [{"a": one, "b": other} for one in cells for other in cells]
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["a", "b"], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    assert read_raw_table(path).columns.to_pylist() == rows


def test_memory_of_a_packed_csv_follows_the_rows_at_once_not_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("a,b\n" + f"1,{'x' * 1000}\n" * 40_000)
    pool = pa.default_memory_pool()
    before, most = pool.bytes_allocated(), 0
    for table in open_tables(path)[0].tables(1_000):
        most = max(most, pool.bytes_allocated() - before)
        assert len(table) <= 1_000
    assert most < 16 << 20
