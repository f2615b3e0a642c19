"""A batch in portions is the batch, whatever their size: the same instructions, or the same message."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.datasets import reading
from routing_assets.datasets.batch import BatchInstructions
from routing_assets.datasets.portions import open_batch
from routing_assets.datasets.set_aside import records_set_aside
from routing_assets.foundation.errors import InvalidInput

IDS = st.sampled_from(["a", "b", "c", " ", None]) | st.integers(0, 99).map(str)
TEXTS = st.sampled_from(["one", "two", "", " ", "n\0l", 'a "quoted"\ntext'])
TOKENS = st.sampled_from(["1", "-1", "-inf", "many", "true", "", None, "+5"])
TABLE = st.fixed_dictionaries(
    {"instruction_id": IDS, "instruction": TEXTS},
    optional={"task": st.sampled_from(["t", "", None]), "input_tokens": TOKENS, "x": st.just("y")},
)
MIXED = TABLE | st.fixed_dictionaries(
    {"instruction_id": st.integers(0, 99), "instruction": TEXTS},
    optional={"input_tokens": st.sampled_from([1, 2.5, -3, True, [1]]), "task": st.sampled_from([1, 1.5, {"a": 1}])},
)
BODIES = st.sampled_from([{"input": "a"}, {}, {"input": "b", "n": 2}, {"input": "c", "max_tokens": "many"}, None])
REQUESTS = st.fixed_dictionaries({"custom_id": st.integers(0, 99), "body": BODIES})


def outcome(path: Path, rows: int, *, strict: bool) -> object:
    try:
        with open_batch(path, strict=strict, rows=rows) as portions:
            whole, again = portions.read(), list(portions)
            assert portions.instructions == len(whole) == sum(map(len, again))
            assert all(len(portion) <= rows for portion in again)
            tables = pa.concat_tables([portion.to_arrow() for portion in again])
            assert BatchInstructions.from_arrow(tables).instruction_id.tolist() == whole.instruction_id.tolist()
            return repr(whole.to_arrow().to_pydict()), whole.ignored_columns, list(whole.set_aside.items())
    except InvalidInput as error:
        return str(error)


@settings(deadline=None)
@given(
    data=st.data(),
    kind=st.sampled_from([".parquet", ".csv", ".jsonl", "mixed.jsonl", "requests.jsonl"]),
    strict=st.booleans(),
)
def test_portions_of_any_size_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str, strict: bool
) -> None:
    each = {"mixed.jsonl": MIXED, "requests.jsonl": REQUESTS}.get(kind, TABLE)
    records = data.draw(st.lists(each, min_size=1, max_size=12))
    path = tmp_path_factory.mktemp("b") / f"b{kind}"
    if kind.endswith(".jsonl"):
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        names = {name: None for record in records for name in record}
        table = pa.table({name: pa.array([r.get(name) for r in records], pa.string()) for name in names})
        (pq.write_table if kind == ".parquet" else pacsv.write_csv)(table, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_ROWS_AT_ONCE", 2)
        whole = outcome(path, 1_000, strict=strict)
        for rows in (1, 2, 3, 7):
            assert outcome(path, rows, strict=strict) == whole


def test_while_records_set_aside_are_written_a_portion_of_the_file_is_held(tmp_path: Path) -> None:
    count, path = 100_000, tmp_path / "b.parquet"
    table = pa.table(
        {"instruction_id": [str(i) for i in range(count)], "instruction": [f"{i:0200}" for i in range(count)]}
    )
    pq.write_table(table, path, row_group_size=10_000)
    before = pa.total_allocated_bytes()
    lines = records_set_aside(path, {"too long": (1, count - 1)})
    first = json.loads(next(lines))
    assert pa.total_allocated_bytes() - before < table.nbytes / 2
    assert (first["row"], first["reason"], first["record"]["instruction_id"]) == (2, "too long", "1")
    assert [json.loads(line)["row"] for line in lines] == [count]
