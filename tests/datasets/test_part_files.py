"""Folders of part files are one table, and a fault in a part is named there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import load_batch, load_labels
from routing_assets.datasets.part_files import join_parts
from routing_assets.foundation.errors import InvalidInput


def part(path: Path, *ids: str, **more: object) -> Path:
    """A part of these instructions, with further columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"instruction_id": name, "instruction": f"text {name}", **more} for name in ids]
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path, compression="snappy")
    elif path.name.endswith(".csv"):
        lines = [";".join(rows[0]), *(";".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("ending", [".snappy.parquet", ".csv", ".json", ".jsonl.gz"])
def test_the_parts_of_spark_are_joined_in_order(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "export"
    part(folder / f"part-00001-x{ending}", "c", note="n")
    part(folder / f"part-00000-x{ending}", "a", "b")
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000-x.crc").write_bytes(b"crc")
    (folder / "part-00002-x").touch()  # Spark writes empty parts, too
    joined = join_parts(folder, tmp_path / "joined")
    batch = load_batch(joined.path)
    assert batch.instruction_id.tolist() == ["a", "b", "c"]
    assert batch.ignored_columns == ("note",)
    assert joined.remark == "2 part files"


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_the_folders_of_hive_are_columns(tmp_path: Path, ending: str) -> None:
    part(tmp_path / "h" / "group=a%20b" / "day=1" / f"0{ending}", "1")
    part(tmp_path / "h" / "group=c" / "day=__HIVE_DEFAULT_PARTITION__" / f"0{ending}", "2")
    joined = join_parts(tmp_path / "h", tmp_path / "joined")
    assert load_batch(joined.path).group.tolist() == ["a b", "c"]
    assert "with the columns group, day of their folders" in joined.remark


def test_requests_in_parts_stay_as_they_are(tmp_path: Path) -> None:
    line = {"custom_id": "1", "body": {"input": "Hello"}}
    path = part(tmp_path / "h" / "day=1" / "0.jsonl", "x")
    path.write_text(json.dumps(line))
    assert json.loads(join_parts(tmp_path / "h", tmp_path / "joined").path.read_text()) == line


def test_labels_may_lie_in_parts(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        part(tmp_path / "l" / f"part-{number}.parquet", name, small=number, large=1.0)
    labels = load_labels(tmp_path / "l")
    assert labels.success.tolist() == [[0, 1], [1, 1]]


def test_a_fault_is_named_in_its_part(tmp_path: Path) -> None:
    part(tmp_path / "h" / "0.csv", "1", "2")
    wrong = part(tmp_path / "h" / "1.csv", "3", "1")
    joined = join_parts(tmp_path / "h", tmp_path / "joined")
    with pytest.raises(InvalidInput) as caught:
        load_batch(joined.path)
    assert str(joined.located(caught.value)).startswith(f"{wrong}, row 3, column 'instruction_id': '1' is already")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda f: (f / "_delta_log").mkdir(), "Delta or Iceberg"),
        (lambda f: (f / "_temporary").mkdir(), "has not finished"),
        (lambda f: (f / "_SUCCESS").touch(), "no part files"),
        (lambda f: (part(f / "0.jsonl", "1"), part(f / "1.csv", "2")), "some of the files are JSON"),
        (lambda f: (part(f / "0.parquet", "1", a=1), part(f / "1.parquet", "2", a="x")), "1.parquet: its columns do"),
        (lambda f: (f / "0.csv").write_text("instruction_id,instruction\n"), "no rows"),
        (lambda f: (part(f / "0.csv", "1"), (f / "1.csv").write_text("a,b\n1,2,3\n")), "1.csv: .*Expected 2 columns"),
    ],
)
def test_folders_that_are_refused(tmp_path: Path, write: object, message: str) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    write(folder)  # type: ignore[operator]
    with pytest.raises(InvalidInput, match=message) as caught:
        join_parts(folder, tmp_path / "joined")
    assert caught.value.remedy
