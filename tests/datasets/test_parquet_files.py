"""Parquet files in tables: however texts are stored, few bytes are held."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import parquet_files
from routing_assets.datasets.parquet_files import ParquetTables
from routing_assets.datasets.reading import limits


@pytest.mark.parametrize("store_schema", [True, False])
def test_rows_that_share_long_texts_come_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_schema: bool
) -> None:
    monkeypatch.setattr(parquet_files, "MOST_BYTES_AT_ONCE", 100_000)
    texts = pa.array([f"{i}" * 10_000 for i in (1, 2)]).dictionary_encode()
    table = pa.table({"n": range(90), "text": texts.take(pa.array([0, 1, 1] * 30))})
    pq.write_table(table, tmp_path / "b.parquet", row_group_size=50, store_schema=store_schema)
    tables = list(ParquetTables(tmp_path / "b.parquet", limits()).tables(1_000))
    assert all(some.nbytes <= 110_000 for some in tables)
    assert pa.concat_tables(tables).to_pydict() == table.to_pydict()


def test_texts_that_were_read_are_not_held(tmp_path: Path) -> None:
    rows = 200_000
    texts = pa.table({"text": [f"the text number {i} of {rows} that differ" for i in range(rows)]})
    size = texts.nbytes
    pq.write_table(texts, tmp_path / "b.parquet")
    del texts
    before, most = pa.total_allocated_bytes(), 0
    for _ in ParquetTables(tmp_path / "b.parquet", limits()).tables(1_000):
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < size / 2
