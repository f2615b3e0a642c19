"""Requests in the cells of a table, and recorded conversations, become lines of requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets.chats import write_requests
from routing_assets.datasets.portions import load_batch

CHATS: list[Any] = [
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of Peru?"}],
    [{"role": "user", "content": 'Say "hello, world".'}],
]


def written(path: Path) -> list[dict[str, Any]]:
    target = path.with_name("requests.jsonl")
    assert write_requests(path, target) is not None
    return [json.loads(line) for line in target.read_text().splitlines()]


def test_chats_of_parquet_are_the_requests_of_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "chats.parquet"
    columns = {"id": [7, 8], "messages": CHATS, "max_tokens": [100.0, None], "note": ["a", None]}
    pq.write_table(pa.table(columns), path)
    lines = written(path)
    assert lines == [
        {"id": 7, "messages": CHATS[0], "max_tokens": 100, "note": "a"},
        {"id": 8, "messages": CHATS[1]},
    ]
    batch = load_batch(tmp_path / "requests.jsonl")
    assert batch.instruction_id.tolist() == ["7", "8"]
    assert batch.instruction.tolist() == ["Capital of Peru?", 'Say "hello, world".']


def test_fields_that_other_rows_have_are_no_nulls_of_a_message(tmp_path: Path) -> None:
    called = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]}
    path = tmp_path / "chats.parquet"
    pq.write_table(pa.table({"id": ["a"], "messages": [[*CHATS[0], called]]}), path)
    assert written(path)[0]["messages"] == [*CHATS[0], called]


@pytest.mark.parametrize("as_text", [json.dumps, str])
def test_chats_of_csv_are_read_as_json_or_as_python_prints_them(tmp_path: Path, as_text: Any) -> None:
    path = tmp_path / "chats.csv"
    frame = pd.DataFrame({"id": ["01", "2"], "messages": [as_text(c) for c in CHATS], "temperature": [0.2, None]})
    frame.to_csv(path, index=False)
    assert written(path) == [
        {"id": "01", "messages": CHATS[0], "temperature": 0.2},
        {"id": "2", "messages": CHATS[1]},
    ]


def test_openai_batch_lines_may_be_rows_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "batch.csv"
    body = {"model": "m", "messages": CHATS[1]}
    pd.DataFrame({"custom_id": ["a"], "url": ["/v1/chat/completions"], "body": [json.dumps(body)]}).to_csv(path)
    assert written(path)[0] | {"": None} == {
        "": None,
        "custom_id": "a",
        "url": "/v1/chat/completions",
        "body": body,
    }


def test_conversations_are_asked_up_to_the_last_turn_of_the_user(tmp_path: Path) -> None:
    turns = [
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello."},
        {"from": "human", "value": "Capital of Peru?"},
        {"from": "gpt", "value": "Lima."},
    ]
    lmsys = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    records = [
        {"id": "1", "system": "Be brief.", "conversations": turns},
        {"id": "2", "model": "vicuna", "conversation": lmsys},
        {"id": "3", "conversations": [{"from": "human", "value": "Hi"}, {"from": "observation", "value": "{}"}]},
    ]
    for path in (tmp_path / "a.json", tmp_path / "b.jsonl"):
        text = json.dumps(records) if path.suffix == ".json" else "\n".join(map(json.dumps, records))
        path.write_text(text)
        first, second, third = written(path)
        assert [message["role"] for message in first["messages"]] == ["system", "user", "assistant", "user"]
        assert second == {"id": "2", "messages": [{"role": "user", "content": "Hi"}]}
        assert third == records[2], "set aside where the batch is read"
        assert load_batch(tmp_path / "requests.jsonl").instruction_id.tolist() == ["1", "2"]


def test_tables_and_lines_of_requests_stay_as_they_are(tmp_path: Path) -> None:
    for name, text in (
        ("rows.csv", 'instruction_id,instruction,messages\n1,One?,"[]"\n'),
        ("mail.csv", "id,body\n1,Dear all\n2,Hello\n"),
        ("chats.jsonl", json.dumps({"id": "1", "messages": CHATS[0]}) + "\n"),
        ("rows.jsonl", json.dumps({"instruction_id": "1", "instruction": "One?"}) + "\n"),
    ):
        path = tmp_path / name
        path.write_text(text)
        assert write_requests(path, tmp_path / "requests.jsonl") is None
