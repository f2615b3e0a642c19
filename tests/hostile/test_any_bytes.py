"""Any bytes whatever are a valid batch or an InvalidInput, never another error."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hostile_batches import GOOD_CSV, WHOLE, lines, request, said, two
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.datasets import BatchInstructions, load_batch
from routing_assets.foundation.errors import InvalidInput

ENDINGS = (".csv", ".jsonl", ".parquet")
SEEDS = (GOOD_CSV, two("x"), lines(request(**said("a"))), WHOLE)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def check(content: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"batch{ending}"
        path.write_bytes(content)
        try:
            batch = load_batch(path)
        except InvalidInput as error:
            message = str(error)
        else:
            assert_valid(batch)
            return
        assert path.name in message
        message.encode()


def assert_valid(batch: BatchInstructions) -> None:
    assert len(batch) > 0
    assert len(set(batch.instruction_id.tolist())) == len(batch)
    assert all(isinstance(text, str) and text.strip() and "\0" not in text for text in batch.instruction)
    assert batch.input_tokens is None or not np.any(batch.input_tokens < 0)
    batch.to_arrow()


@given(st.binary(max_size=400), st.sampled_from(ENDINGS))
def test_any_bytes(content: bytes, ending: str) -> None:
    check(content, ending)


@given(st.sampled_from(SEEDS), st.data(), st.sampled_from(ENDINGS))
def test_a_good_file_with_bytes_changed(seed: bytes, data: st.DataObject, ending: str) -> None:
    at = data.draw(st.integers(0, len(seed)))
    length, piece = data.draw(st.integers(0, 20)), data.draw(st.binary(max_size=20))
    check(seed[:at] + piece + seed[at + length :], ending)


@given(st.data())
def test_a_parquet_file_with_bytes_changed(data: st.DataObject) -> None:
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(content), ".parquet")


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["instruction_id", "instruction", "task", "input_tokens", "custom_id", "body", "x"])
            | st.text(),
            VALUES,
        ),
        max_size=4,
    )
)
def test_any_json_objects(records: list[dict]) -> None:
    check(lines(*records), ".jsonl")


@given(
    st.lists(
        VALUES | st.fixed_dictionaries({"messages": VALUES}) | st.fixed_dictionaries({"input": VALUES}), min_size=1
    )
)
def test_any_request_bodies(bodies: list[object]) -> None:
    check(lines(*({"custom_id": str(i), "body": body} for i, body in enumerate(bodies))), ".jsonl")


@pytest.mark.parametrize("depth", [10, 300, 900, 2_000])
def test_any_depth(depth: int) -> None:
    text: object = "x"
    for _ in range(min(depth, 300)):
        text = [{"type": "text", "text": text}]
    check(lines(request(**said(text))), ".jsonl")
    check(b'{"instruction_id": "1", "instruction": "a", "x": ' + b"[" * depth + b"]" * depth + b"}\n", ".jsonl")
    check(json.dumps({"instruction_id": "1"}).encode() + b"\n", ".jsonl")
