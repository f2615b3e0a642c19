"""Partitioned tables have parts of equal size, are complete or absent, and report damage, in every kind of storage."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.engine import LocalEngine
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.wide_matrix import wide_matrix, wide_table
from routing_assets.storage.draft import Draft, keep_rows, make_parts, write_table
from routing_assets.storage.partitioned import PartitionedTable, is_partitioned, open_partitioned, single_file
from routing_assets.storage.places import atomic_file, filesystem_of, names_in, remove


def rows(start: int, stop: int) -> pa.Table:
    numbers = np.arange(start, stop)
    matrix = np.column_stack([numbers, -numbers]).astype(np.float32)
    ids = pa.array([f"i{n}" for n in numbers], pa.string())
    return wide_table(["small", "large"], {"decision": matrix}, others={"instruction_id": ids})


SCHEMA = rows(0, 0).schema


def portions(total: int, size: int) -> Iterator[pa.Table]:
    return (rows(start, min(start + size, total)) for start in range(0, total, size))


def write(folder: str, total: int = 25, part_rows: int = 10) -> PartitionedTable:
    return write_table(Draft(folder, SCHEMA), portions(total, 7), part_rows=part_rows)


def numbered(part: tuple[int, int]) -> pa.Table:
    return rows(*part)


def broken_at_the_third(part: tuple[int, int]) -> pa.Table:
    if part[0] >= 20:
        raise KeyboardInterrupt
    return rows(*part)


def overwrite(path: str, content: bytes) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def content(path: str) -> bytes:
    filesystem, within = filesystem_of(path)
    return filesystem.cat_file(within)


def test_a_written_table_is_read_in_parts_of_equal_size(folder: str) -> None:
    written_table = write(folder)
    table = open_partitioned(folder)
    assert table == written_table
    assert [(part.number, part.first_row, part.rows) for part in table.parts] == [(0, 0, 10), (1, 10, 10), (2, 20, 5)]
    assert table.rows == 25
    assert table.read().equals(rows(0, 25), check_metadata=True)
    assert table.parts[1].read(["instruction_id"])["instruction_id"].to_pylist() == [f"i{n}" for n in range(10, 20)]
    batches = list(table.batches(["decision"], rows=4))
    assert [batch.num_rows for batch in batches] == [4, 4, 2, 4, 4, 2, 4, 1]
    assert np.concatenate([wide_matrix(batch, "decision") for batch in batches])[:, 0].tolist() == list(range(25))
    assert names_in(folder) == ["manifest.json", *(f"part-{i:06d}.parquet" for i in range(3))]


def test_duckdb_reads_the_parts(folder: str) -> None:
    relation = write(folder).relation(duckdb.connect())
    assert relation.aggregate("count(*), sum(decision[1]), min(decision[2])").fetchall() == [(25, 300.0, -24.0)]


def test_references_can_be_pickled_to_other_processes(tmp_path: Path) -> None:
    table = write(str(tmp_path))
    assert pickle.loads(pickle.dumps(table)) == table
    assert len(pickle.dumps(table.parts[0])) < 500


@settings(max_examples=25, deadline=None)
@given(total=st.integers(0, 40), portion=st.integers(1, 45), part_rows=st.integers(1, 45))
def test_the_parts_do_not_depend_on_the_portions_that_rows_come_in(total: int, portion: int, part_rows: int) -> None:
    table = write_table(Draft("memory://cut/table", SCHEMA), portions(total, portion), part_rows=part_rows)
    assert [part.rows for part in table.parts[:-1]] == [part_rows] * (len(table.parts) - 1)
    assert table.rows == total
    assert table.read().equals(rows(0, total), check_metadata=True)


def test_equal_rows_in_equal_parts_have_equal_versions(tmp_path: Path) -> None:
    versions = [write(str(tmp_path / name), total).data_version for name, total in (("a", 25), ("b", 25), ("c", 26))]
    assert versions[0] == versions[1] != versions[2]


def test_rows_that_do_not_fit_the_schema_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names"):
        Draft(str(tmp_path), SCHEMA).write_part(0, pa.table({"x": [1]}))
    with pytest.raises(KeyError, match="no_such_column"):
        write(str(tmp_path)).read(["no_such_column"])


def test_a_folder_without_a_manifest_is_no_table(folder: str) -> None:
    Draft(folder, SCHEMA).write_part(0, rows(0, 10))
    assert not is_partitioned(folder)
    with pytest.raises(InvalidInput, match=r"manifest\.json: there is no such table, or it was not finished"):
        open_partitioned(folder)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text[: len(text) // 2], "the manifest is damaged"),
        (lambda text: text.replace('"parts"', '"pieces"'), "the manifest is damaged"),
        (lambda text: text.replace('"rows": 5', '"rows": 6'), "the manifest's totals do not match its parts"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "the manifest has format 2"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, damage, complaint: str) -> None:
    write(str(tmp_path))
    manifest = tmp_path / "manifest.json"
    manifest.write_text(damage(manifest.read_text()))
    with pytest.raises(InvalidInput, match=complaint):
        open_partitioned(str(tmp_path))


def test_a_damaged_part_is_named(folder: str) -> None:
    table = write(folder)
    bytes_of_part = content(table.parts[1].path)
    middle = len(bytes_of_part) // 4
    flipped = bytes_of_part[:middle] + bytes([bytes_of_part[middle] ^ 1]) + bytes_of_part[middle + 1 :]
    for damaged in (flipped, bytes_of_part[:-20], content(table.parts[0].path), b""):
        overwrite(table.parts[1].path, damaged)
        for look in (table.read, table.verify, lambda: list(table.batches(["decision"]))):
            with pytest.raises(InvalidInput, match=r"part-000001\.parquet: this part of a table is damaged"):
                look()
        assert table.parts[0].read().num_rows == 10


def test_a_missing_part_is_named(folder: str) -> None:
    table = write(folder)
    remove(table.parts[2].path)
    for look in (table.read, table.verify):
        with pytest.raises(InvalidInput, match=r"part-000002\.parquet: this part of a table is missing"):
            look()


def test_an_interrupted_writer_keeps_the_parts_that_are_done(folder: str) -> None:
    ranges = [(0, 10), (10, 20), (20, 25)]
    draft = Draft(folder, SCHEMA, work="inputs-1")
    with pytest.raises(KeyboardInterrupt):
        make_parts(LocalEngine(), broken_at_the_third, ranges, draft)
    assert sorted(draft.done()) == [0, 1]
    assert not is_partitioned(folder)
    overwrite(f"{folder}/part-000001.parquet", b"half a part")
    assert sorted(draft.done()) == [0]

    asked: list[tuple[int, int]] = []

    def remembered(part: tuple[int, int]) -> pa.Table:
        asked.append(part)
        return rows(*part)

    table = make_parts(LocalEngine(), remembered, ranges, draft)
    assert asked == ranges[1:]
    assert table.read().equals(rows(0, 25), check_metadata=True)
    assert table.data_version == write(f"{folder}-at-once").data_version


def test_parts_written_for_other_inputs_are_written_again(tmp_path: Path) -> None:
    Draft(str(tmp_path), SCHEMA, work="inputs-1").write_part(0, rows(0, 10))
    table = make_parts(LocalEngine(), numbered, [(30, 40)], Draft(str(tmp_path), SCHEMA, work="inputs-2"))
    assert table.read().equals(rows(30, 40), check_metadata=True)


def test_parts_beyond_the_table_are_removed(folder: str) -> None:
    draft = Draft(folder, SCHEMA)
    for number in range(5):
        draft.write_part(number, rows(0, 10))
    write(folder, total=15)
    assert names_in(folder) == ["manifest.json", "part-000000.parquet", "part-000001.parquet"]


def test_deleted_rows_are_gone_from_the_disk(folder: str) -> None:
    table = write(folder)
    before = [part.path for part in table.parts]
    removed = keep_rows(table, lambda ids: np.array([name not in ("i12", "i20") for name in ids]))
    left = open_partitioned(folder)
    assert removed == 2
    assert left.read()["instruction_id"].to_pylist() == [f"i{n}" for n in range(25) if n not in (12, 20)]
    assert [part.first_row for part in left.parts] == [0, 10, 19]
    assert left.parts[0].path == before[0]
    assert len(names_in(folder)) == 4
    assert left.data_version != table.data_version
    left.verify()


def test_files_left_by_an_interrupted_deletion_are_removed_by_the_next(tmp_path: Path) -> None:
    table = write(str(tmp_path))
    (tmp_path / "part-000001-0123abcd.parquet").write_bytes(content(table.parts[1].path))
    assert keep_rows(table, lambda ids: np.ones(len(ids), dtype=bool)) == 0
    assert len(names_in(str(tmp_path))) == 4


def test_a_single_file_is_a_table_of_one_part(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    pq.write_table(rows(0, 25), path)
    table = single_file(path)
    assert table.rows == 25
    assert table.read()["instruction_id"].to_pylist() == rows(0, 25)["instruction_id"].to_pylist()
    table.verify()


def test_the_manifest_is_readable_for_people(tmp_path: Path) -> None:
    write(str(tmp_path))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["rows"] == 25
    assert manifest["columns"] == {
        "instruction_id": "string",
        "decision": "fixed_size_list<item: float>[2]",
    }
    assert [part["file"] for part in manifest["parts"]] == [f"part-{i:06d}.parquet" for i in range(3)]
