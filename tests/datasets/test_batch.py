from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from routing_assets.datasets import BatchInstructions, load_batch, write_batch
from routing_assets.errors import InvalidInput


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


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
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
        request("embeddings", input=["one", "two"]),
        request("completion", prompt="Once upon"),
    )
    batch = load_batch(path)
    assert dict(zip(batch.instruction_id, batch.instruction, strict=True)) == {
        "chat": "Hello",
        "turns": "part one\n\npart two\n\nAnd then?",
        "response": "Just text",
        "items": "As an item",
        "embeddings": "one\n\ntwo",
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
    np.testing.assert_allclose(batch.tokens, [10, 110, 210, 110, 11.25])


def test_tokens_that_are_not_given_follow_from_the_length_of_the_text() -> None:
    assert make_batch().tokens.tolist() == [12, 3]


OPENAI_FAULTS = {
    "no user": (request("x", messages=[{"role": "system", "content": "s"}]), "no text of a user"),
    "blank": (request("x", messages=[{"role": "user", "content": " \n"}]), "no text of a user"),
    "image": (
        request("x", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}]),
        "a part of type 'image_url', not text",
    ),
    "tokens": (request("x", input=[1, 2]), "a part of type 'int', not text"),
    "number": (request("x", input=3), "of type int, not text"),
    "nothing": (request("x"), "neither messages nor input nor prompt"),
    "no body": ({"custom_id": "x", "body": None}, "the request has no body"),
}


@pytest.mark.parametrize("fault", OPENAI_FAULTS)
def test_faults_of_an_openai_batch_name_the_line(tmp_path: Path, fault: str) -> None:
    record, message = OPENAI_FAULTS[fault]
    path = write_lines(tmp_path / "openai.jsonl", request("ok", input="fine"), record)
    with pytest.raises(InvalidInput, match=f"openai.jsonl, row 2, column 'body.*: .*{message}"):
        load_batch(path)


def test_openai_ids_must_differ_and_be_present(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "o.jsonl", request("x", input="a"), request("x", input="b"))
    with pytest.raises(InvalidInput, match=r"row 2.*'x' stands already in row 1"):
        load_batch(path)
    path = write_lines(tmp_path / "o.jsonl", request("x", input="a"), {"body": {"input": "b"}})
    with pytest.raises(InvalidInput, match="row 2"):
        load_batch(path)


FAULTS = {
    "b.csv": [
        ("instruction_id,instruction\n1,a\n1,b\n", "row 3, column 'instruction_id': '1' stands already in row 2"),
        ("instruction_id,instruction\n1,a\n2,  \n", "row 3, column 'instruction': the text is empty"),
        ("instruction_id,instruction\n", "no rows"),
        ("id,text\n1,a\n", "column 'instruction_id': the required column is missing"),
        (
            "instruction_id,instruction,input_tokens\n1,a,-5\n",
            "row 2, column 'input_tokens': .* tokens is -5",
        ),
        ("instruction_id,instruction,group\n1,a,\n", "row 2, column 'group'"),
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
