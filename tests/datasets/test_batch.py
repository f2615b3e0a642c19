from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import BatchInstructions, load_batch, write_batch
from routing_assets.datasets.reading import RawTable
from routing_assets.datasets.set_aside import records_set_aside
from routing_assets.datasets.tokens import request_tokens
from routing_assets.datasets.validation import check_unique
from routing_assets.foundation.errors import InvalidInput


def make_batch() -> BatchInstructions:
    return BatchInstructions(
        instruction_id=np.array(["007", "b"], dtype=object),
        instruction=np.array(['one, "quoted"', "two\nlines ž"], dtype=object),
        task=np.array(["t", "u"], dtype=object),
        group=np.array(["tenant 1", "tenant 2"], dtype=object),
        input_tokens=np.array([12, np.nan]),
    )


def assert_same(one: BatchInstructions, other: BatchInstructions) -> None:
    for name in ("instruction_id", "instruction", "task", "group", "input_tokens"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.ignored_columns == other.ignored_columns


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["Lima", None, " "], ["Lima", None, None]),
        ([391, 7.5, None], ["391", "7.5", None]),
        ([True, False, True], ["true", "false", "true"]),
        ([["Lima", "Cusco"], None, ["Ica"]], ['["Lima", "Cusco"]', None, '["Ica"]']),
        (["Lima", 391, ["Ica"]], ["Lima", "391", '["Ica"]']),
    ],
)
def test_references_of_any_type_are_texts_and_none_is_required(
    tmp_path: Path, values: list[object], texts: object
) -> None:
    rows = [{"instruction_id": n, "instruction": "a", "reference": value} for n, value in enumerate(values)]
    batch = load_batch(write_lines(tmp_path / "b.jsonl", *rows))
    assert batch.reference is not None
    assert batch.reference.tolist() == texts
    assert batch.set_aside == {}
    again = BatchInstructions.from_arrow(batch.to_arrow())
    assert again.reference is not None
    assert again.reference.tolist() == texts


def test_a_batch_file_without_any_reference_has_no_such_column(tmp_path: Path) -> None:
    rows = [{"instruction_id": n, "instruction": "a", "reference": None} for n in range(2)]
    assert load_batch(write_lines(tmp_path / "b.jsonl", *rows)).reference is None


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_written_batch_is_read_back(tmp_path: Path, suffix: str) -> None:
    write_batch(make_batch(), tmp_path / f"batch{suffix}")
    assert_same(load_batch(tmp_path / f"batch{suffix}"), make_batch())


def test_arrow_round_trip_and_take() -> None:
    batch = make_batch()
    assert_same(BatchInstructions.from_arrow(batch.to_arrow()), batch)
    assert batch.take([1]).instruction_id.tolist() == ["b"]
    assert len(batch.take(np.array([True, False]))) == 1


def test_optional_columns_may_be_absent_and_others_are_listed(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "b.jsonl", {"instruction_id": 1, "instruction": "a", "due": "today", "meta": {"x": 1}}
    )
    batch = load_batch(path)
    assert batch.instruction_id.tolist() == ["1"]
    assert batch.task is batch.group is batch.input_tokens is None
    assert batch.ignored_columns == ("due", "meta")
    assert BatchInstructions.from_arrow(batch.to_arrow()).ignored_columns == ("due", "meta")


def request(custom_id: str, **body: object) -> dict:
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"} | body}


def test_openai_batch_takes_the_users_text(tmp_path: Path) -> None:
    part = {"type": "text", "text": "part one"}
    path = write_lines(
        tmp_path / "openai.jsonl",
        request("chat", messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]),
        request(
            "turns",
            messages=[
                {"role": "user", "content": [part, {"type": "text", "text": "part two"}]},
                {"role": "assistant", "content": "An answer"},
                {"role": "user", "content": "And then?"},
            ],
        ),
        request("response", input="Just text"),
        request("items", input=[{"role": "user", "content": [{"type": "input_text", "text": "As an item"}]}]),
        request("list", input=["one", "two"]),
        request("completion", prompt="Once upon"),
    )
    batch = load_batch(path)
    assert dict(zip(batch.instruction_id, batch.instruction, strict=True)) == {
        "chat": "Hello",
        "turns": "part one\n\npart two\n\nAnd then?",
        "response": "Just text",
        "items": "As an item",
        "list": "one\n\ntwo",
        "completion": "Once upon",
    }


def test_the_whole_request_counts_as_input_not_only_the_users_text(tmp_path: Path) -> None:
    user, system = {"role": "user", "content": "u" * 40}, {"role": "system", "content": "s" * 398}
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    answer = {"role": "assistant", "content": [{"type": "output_text", "text": "a" * 398}]}
    path = write_lines(
        tmp_path / "openai.jsonl",
        request("alone", messages=[user]),
        request("system", messages=[system, user]),
        request("turns", messages=[system, user, called, answer]),
        request("response", instructions="s" * 398, input="u" * 40),
        request("broken", messages=[{"role": "system", "content": "\ud83d"}, user]),
    )
    batch = load_batch(path)
    assert batch.instruction.tolist() == ["u" * 40] * 5
    alone, told = request_tokens("u" * 40), request_tokens("s" * 398 + "\n\n" + "u" * 40)
    turns = request_tokens("\n\n".join(["s" * 398, "u" * 40, '{"tool_calls":[{"id":"1"}]}', "a" * 398]))
    broken = request_tokens("\ud83d\n\n" + "u" * 40)
    np.testing.assert_allclose(batch.tokens, [alone + 4, told + 8, turns + 16, told + 8, broken + 8])
    np.testing.assert_allclose(batch.tokens_beside_text, batch.tokens - (alone + 4))
    by_length = load_batch(path, by_length=True)
    call = len('\n\n{"tool_calls":[{"id":"1"}]}') / 4
    np.testing.assert_allclose(by_length.tokens, [10, 110, 210 + call, 110, 11.25])
    np.testing.assert_allclose(by_length.tokens_beside_text, by_length.tokens - 10)


def test_tokens_that_are_not_given_follow_from_the_length_of_the_text() -> None:
    assert make_batch().tokens.tolist() == [12, 3]


def with_url(url: str) -> dict:
    return {**request("x", input="a"), "url": url}


UNREADABLE = {
    "no text": (request("x", messages=[{"role": "assistant", "content": "s"}]), "no text of a user or of the system"),
    "blank": (request("x", messages=[{"role": "user", "content": " \n"}]), "no text of a user"),
    "only an image": (
        request("x", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}]),
        "no text of a user",
    ),
    "tokens": (request("x", input=[1, 2]), "no text of a user"),
    "number": (request("x", input=3), "of type int, not text"),
    "nothing": (request("x"), "neither messages nor input nor prompt"),
    "no body": ({"custom_id": "x", "body": None}, "the request has no body"),
    "no id": ({"custom_id": None, "body": {"input": "a"}}, "id is missing or not text"),
    "half a surrogate pair": (request("x", input="a\ud83d"), "half a surrogate pair"),
    "embeddings": (with_url("/v1/embeddings"), "column 'url': the request asks for embeddings"),
    "embeddings, by the model": (
        {"custom_id": "x", "body": {"model": "text-embedding-3-small", "input": "a"}},
        "asks for embeddings",
    ),
    "moderations": (with_url("/v1/moderations"), "asks for moderations"),
    "pictures": (with_url("/v1/images/generations"), "asks for images"),
    "no number of answers": (request("x", input="a", n=0), "n is 0"),
    "a bound in words": (request("x", input="a", max_tokens="many"), "max_tokens is 'many'"),
}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_request_that_cannot_be_routed_is_set_aside_and_the_others_are_read(tmp_path: Path, fault: str) -> None:
    record, reason = UNREADABLE[fault]
    path = write_lines(tmp_path / "openai.jsonl", request("ok", input="fine"), record, request("too", input="fine"))
    batch = load_batch(path)
    assert batch.instruction_id.tolist() == ["ok", "too"]
    ((said, places),) = batch.set_aside.items()
    assert places == (1,)
    assert reason in said
    (line,) = records_set_aside(path, batch.set_aside)
    assert json.loads(line) == {"row": 2, "reason": said, "record": record}
    with pytest.raises(InvalidInput, match=r"openai.jsonl, row 2, .*" + re.escape(reason.split("': ")[-1])):
        load_batch(path, strict=True)
    assert_same(BatchInstructions.from_arrow(batch.to_arrow()), batch)
    assert BatchInstructions.from_arrow(batch.to_arrow()).set_aside == batch.set_aside


CELLS = {
    "empty text": ({"instruction": " "}, "the text is empty"),
    "null text": ({"instruction": None}, "the text is empty"),
    "no id": ({"instruction_id": None}, "the text is empty"),
    "NUL": ({"instruction": "a\0"}, "NUL"),
    "negative tokens": ({"input_tokens": -5}, "number of tokens is -5"),
    "tokens in words": ({"input_tokens": "many"}, "'many' is not a number"),
}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_row_with_a_wrong_cell_is_set_aside_and_the_others_are_read(tmp_path: Path, kind: str, suffix: str) -> None:
    cell, reason = CELLS[kind]
    rows = [{"instruction_id": str(i), "instruction": f"text {i}", "input_tokens": "7"} for i in range(3)]
    rows[1] |= {name: value if value is None else str(value) for name, value in cell.items()}
    path, table = tmp_path / f"b{suffix}", pa.Table.from_pylist(rows)
    if suffix == ".jsonl":
        write_lines(path, *rows)
    else:
        (pacsv.write_csv if suffix == ".csv" else pq.write_table)(table, path)
    batch = load_batch(path)
    assert batch.instruction_id.tolist() == ["0", "2"]
    ((said, places),) = batch.set_aside.items()
    assert places == (1,)
    assert reason in said
    (line,) = records_set_aside(path, batch.set_aside)
    assert json.loads(line)["row"] == (3 if suffix == ".csv" else 2)
    assert json.loads(line)["record"]["input_tokens"] == rows[1]["input_tokens"]
    with pytest.raises(InvalidInput, match=reason):
        load_batch(path, strict=True)


def test_optional_columns_that_are_empty_count_as_absent_and_a_missing_group_stops_no_row(tmp_path: Path) -> None:
    rows = [{"instruction_id": i, "instruction": "a", "task": None, "group": g} for i, g in enumerate([None, "x"])]
    batch = load_batch(write_lines(tmp_path / "b.jsonl", *rows))
    assert batch.task is None
    assert batch.group.tolist() == ["(none)", "x"]
    (tmp_path / "b.csv").write_text("instruction_id,instruction,group,input_tokens\n1,a,,\n2,b,,\n")
    batch = load_batch(tmp_path / "b.csv")
    assert batch.group is batch.input_tokens is None


def test_several_rows_without_an_id_are_no_repeated_id(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("instruction_id,instruction\n,a\n1,b\n,c\n")
    assert list(load_batch(tmp_path / "b.csv").set_aside.values()) == [(0, 2)]


def test_ids_are_compared_without_an_object_for_each() -> None:
    ids = np.array([f"id {i}" for i in range(100_000)], dtype=object)
    raw = RawTable("b.csv", pa.table({"instruction_id": ids}), first_row=2)
    tracemalloc.start()
    try:
        check_unique(raw, "instruction_id", ids)
        assert tracemalloc.get_traced_memory()[1] < 1_500_000  # a set of them takes 8 MB
    finally:
        tracemalloc.stop()
    ids[-3:] = None, None, "id 7"
    with pytest.raises(InvalidInput, match=r"row 100001, .*'id 7' is already in row 9"):
        check_unique(raw, "instruction_id", ids)


def test_a_file_of_which_nothing_can_be_routed_is_refused_with_the_reasons(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "o.jsonl", request("x"), with_url("/v1/embeddings"), request("y"))
    with pytest.raises(InvalidInput, match=r"none of its 3 records.*row 1: .*neither messages.*row 2: .*embeddings"):
        load_batch(path)


def test_records_set_aside_later_keep_their_place_in_the_file(tmp_path: Path) -> None:
    lines = [request(str(i), input="a") if i != 1 else request("1") for i in range(5)]
    batch = load_batch(write_lines(tmp_path / "o.jsonl", *lines))
    batch = batch.set_apart(
        {"long": np.array([False, True, False, True]), "slow": np.array([True, False, False, False])}
    )
    assert batch.instruction_id.tolist() == ["3"]
    assert list(batch.set_aside.values()) == [(1,), (2, 4), (0,)]


def test_openai_ids_must_differ(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "o.jsonl", request("x", input="a"), request("x", input="b"))
    with pytest.raises(InvalidInput, match=r"row 2.*'x' is already in row 1"):
        load_batch(path)


FAULTS = {
    "b.csv": [
        ("instruction_id,instruction\n1,a\n1,b\n", "row 3, column 'instruction_id': '1' is already in row 2"),
        ("instruction_id,instruction\n1, \n2,  \n", "row 2, column 'instruction': the text is empty"),
        ("instruction_id,instruction\n", "no rows"),
        ("id,text\n1,a\n", "column 'instruction_id': the required column is missing"),
        (
            "instruction_id,instruction,input_tokens\n1,a,-5\n",
            "row 2, column 'input_tokens': .* tokens is -5",
        ),
    ],
    "b.jsonl": [('{"instruction_id": "1"}\nnope\n', "row 2: the line is not valid JSON"), ("", "no rows")],
    "b.txt": [("hello", "file type '.txt' is not supported")],
}


@pytest.mark.parametrize(("name", "content", "message"), [(n, c, m) for n, faults in FAULTS.items() for c, m in faults])
def test_faults_name_file_row_and_column(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput, match=message) as caught:
        load_batch(tmp_path / name)
    assert name in str(caught.value)
    assert caught.value.remedy


def test_an_unknown_extension_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\.xlsx"):
        write_batch(make_batch(), tmp_path / "batch.xlsx")


def test_one_bad_number_leaves_missing_ones_and_decimal_commas_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text("instruction_id;instruction;input_tokens\n1;a;12,0\n2;b;null\n3;c;many\n")
    batch = load_batch(path)
    assert batch.instruction_id.tolist() == ["1", "2"]
    np.testing.assert_equal(batch.input_tokens, [12.0, np.nan])
    path.write_text(path.read_text() + "4;d;1.500\n")
    with pytest.raises(InvalidInput, match=r"row 5, column 'input_tokens': '1.500' may be thousands"):
        load_batch(path)


def test_a_column_whose_name_differs_by_case_or_spaces_is_suggested(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text("Instruction_ID, instruction\n1,a\n")
    with pytest.raises(InvalidInput, match=r"add --id-column Instruction_ID.*add --text-column ' instruction'"):
        load_batch(path)
