from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.batches import request_files
from routing_assets.batches.handoff import export_batch, hand_off, read_manifest
from routing_assets.batches.request_files import RequestFiles, original_requests, safe_name
from routing_assets.batches.routed_files import HANDED_OVER
from routing_assets.datasets import load_batch
from routing_assets.foundation.errors import InvalidInput
from routing_assets.storage.draft import Draft, write_table
from routing_assets.storage.partitioned import PartitionedTable

TEXTS = {"1": 'one, "quoted"', "2": "two\nlines ž \u2028 end", "../3": "three", "4": "four"}
MODELS = {"1": "vendor/large", "2": "small", "../3": "vendor/large", "4": "small"}


def instructions(texts: dict[str, str] = TEXTS) -> pa.Table:
    return pa.table({"instruction_id": list(texts), "instruction": list(texts.values()), "task": ["t"] * len(texts)})


def routed(models: dict[str, str] = MODELS) -> pa.Table:
    n = len(models)
    return pa.table(
        {
            "instruction_id": list(models),
            "model": pa.array(models.values()).dictionary_encode(),
            "expected_success": pa.array([0.5] * n, pa.float32()),
            "cost": [0.25] * n,
        }
    )


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_reading_the_files_gives_the_instructions_back(tmp_path: Path) -> None:
    manifest = hand_off(instructions(), routed(), tmp_path, batch_id="b")
    assert read_manifest(tmp_path) == manifest
    assert (manifest.rows, manifest.cost_usd, manifest.expected_successes) == (4, 1.0, 2.0)
    read = {}
    for model in ("vendor/large", "small"):
        (file,) = manifest.of(model)
        assert (file.rows, file.cost_usd) == (2, 0.5)
        batch = load_batch(tmp_path / file.name)
        read |= dict(zip(batch.instruction_id, batch.instruction, strict=True))
        for line in (tmp_path / file.name).read_bytes().splitlines():
            request = json.loads(line)
            assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
            assert request["body"]["model"] == model == MODELS[request["custom_id"]]
    assert read == TEXTS


@pytest.mark.parametrize("requests_per_file", [1, 50])
def test_each_file_costs_what_its_own_requests_cost(tmp_path: Path, requests_per_file: int) -> None:
    cost = {"1": 1.0, "2": 2.0, "../3": 4.0, "4": 8.0}
    table = routed().set_column(3, "cost", pa.array(cost.values()))
    manifest = hand_off(instructions(), table, tmp_path, batch_id="b", requests_per_file=requests_per_file)
    for file in manifest.files:
        assert file.cost_usd == sum(cost[name] for name in load_batch(tmp_path / file.name).instruction_id)


def test_large_parts_are_split_and_the_bytes_limit_holds(tmp_path: Path) -> None:
    manifest = hand_off(instructions(), routed(), tmp_path, batch_id="b", requests_per_file=1)
    assert [file.rows for file in manifest.files] == [1] * 4
    assert [file.cost_usd for file in manifest.files] == [0.25] * 4
    assert len(hand_off(instructions(), routed(), tmp_path, batch_id="b", bytes_per_file=200).files) == 4


def test_of_a_file_that_is_full_the_sum_of_its_costs_is_held(tmp_path: Path) -> None:
    rows, requests = 40_000, RequestFiles(tmp_path, requests_per_file=2_000)
    ids = pa.array(map(str, range(rows)))
    columns = {"instruction_id": ids, "instruction": ids, "model": ["m"] * rows, "cost": pa.array([0.25] * rows)}
    tracemalloc.start()
    try:
        requests.write(pa.table(columns), None)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * rows  # the costs of all requests take twice as much
    assert [(file.rows, file.cost_usd) for file in requests.finish()] == [(2_000, 500.0)] * 20


def test_other_files_are_listed_and_belong_to_no_model(tmp_path: Path) -> None:
    (tmp_path / "routed.parquet").write_bytes(b"table")
    manifest = hand_off(
        instructions(),
        routed(dict.fromkeys(TEXTS, "small")),
        tmp_path,
        batch_id="b",
        also=[tmp_path / "routed.parquet"],
    )
    assert files(tmp_path) == {"manifest.json", "routed.parquet", "requests-01-small-001.jsonl"}
    assert [(file.name, file.endpoint) for file in manifest.files] == [
        ("requests-01-small-001.jsonl", "/v1/chat/completions"),
        ("routed.parquet", None),
    ]


def test_a_failed_hand_off_leaves_no_manifest_and_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = request_files.json_text

    def fail_on_the_last(text: str) -> str:
        if text == "four":
            raise OSError("disk full")
        return real(text)

    monkeypatch.setattr(request_files, "json_text", fail_on_the_last)
    with pytest.raises(OSError, match="disk full"):
        hand_off(instructions(), routed(), tmp_path, batch_id="b")
    assert not [name for name in files(tmp_path) if not name.startswith("requests-")]


def test_requests_that_came_as_openai_batch_go_out_as_they_came(tmp_path: Path) -> None:
    body = {
        "model": "whatever",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "temperature": 0.2,
    }
    request = {"custom_id": "1", "method": "POST", "url": "/v1/special", "body": body}
    (tmp_path / "in.jsonl").write_text(json.dumps(request) + "\n")
    originals = original_requests(tmp_path / "in.jsonl")
    manifest = hand_off(
        instructions({"1": "Hello"}), routed({"1": "small"}), tmp_path / "out", batch_id="b", originals=originals
    )
    sent = json.loads((tmp_path / "out" / manifest.files[0].name).read_text())
    assert sent == request | {"body": body | {"model": "small"}}


CHAT = {"messages": [{"role": "user", "content": "Hello"}]}
LINES: dict[str, dict[str, Any]] = {
    "chat": {"url": "/v1/chat/completions", "body": CHAT},
    "responses": {"url": "/v1/responses", "body": {"input": "Hello"}},
    "no url": {"body": CHAT},
    "empty url": {"url": None, "body": CHAT},
    "responses, no url": {"body": {"input": "Hello"}},
    "completions, no url": {"body": {"prompt": "Hello"}},
    "a path": {"url": "../../../etc/passwd", "body": CHAT},
}
ENDPOINTS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "no url": "/v1/chat/completions",
    "empty url": "/v1/chat/completions",
    "responses, no url": "/v1/responses",
    "completions, no url": "/v1/completions",
    "a path": "../../../etc/passwd",
}


@given(st.lists(st.tuples(st.sampled_from(sorted(LINES)), st.sampled_from(["small", "vendor/large"])), min_size=1))
def test_no_file_has_requests_to_two_endpoints_or_models(batch: list[tuple[str, str]]) -> None:
    ids = [str(i) for i in range(len(batch))]
    originals = [json.dumps({"custom_id": i, **LINES[kind]}) for i, (kind, _) in zip(ids, batch, strict=True)]
    models = dict(zip(ids, (model for _, model in batch), strict=True))
    with TemporaryDirectory() as name:
        folder = Path(name)
        manifest = hand_off(
            instructions(dict.fromkeys(ids, "Hello")),
            routed(models),
            folder,
            batch_id="b",
            originals=originals,
            requests_per_file=3,
        )
        assert files(folder) == {"manifest.json", *(file.name for file in manifest.files)}
        assert read_manifest(folder) == manifest
        sent = []
        for file in manifest.files:
            for line in map(json.loads, (folder / file.name).read_text().splitlines()):
                assert (line["url"], line["body"]["model"]) == (file.endpoint, file.model)
                sent.append(line["custom_id"])
        assert sorted(sent) == sorted(ids)
        assert {file.endpoint for file in manifest.files} == {ENDPOINTS[kind] for kind, _ in batch}


def test_a_manifest_from_before_endpoints_is_read(tmp_path: Path) -> None:
    hand_off(instructions(), routed(), tmp_path, batch_id="b")
    values = json.loads((tmp_path / "manifest.json").read_text())
    for file in values["files"]:
        del file["endpoint"]
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    assert {file.endpoint for file in read_manifest(tmp_path).files} == {None}


def test_other_batches_have_no_original_requests(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text('{"instruction_id": "1", "instruction": "a"}\n')
    assert original_requests(tmp_path / "b.jsonl") is None
    assert original_requests(tmp_path / "b.csv") is None


@given(st.text())
def test_names_never_become_paths(name: str) -> None:
    safe = safe_name(name)
    assert Path(safe).name == safe
    assert 0 < len(safe) <= 60
    assert safe.isascii()
    assert not safe.startswith(".")


@pytest.mark.parametrize("model", ["../../etc/passwd", "a/b", "a\\b", "..", "é" * 300, "x" * 300, "CON", "a\nb", ""])
def test_tricky_model_names_stay_in_the_folder(tmp_path: Path, model: str) -> None:
    out = tmp_path / "out"
    two = {"1": model, "2": model + "!"}
    manifest = hand_off(instructions(two), routed(two), out, batch_id="b")
    assert files(tmp_path) == {"out"}
    assert files(out) == {"manifest.json", *(file.name for file in manifest.files)}
    assert len(manifest.files) == 2
    assert read_manifest(out).of(model)[0].rows == 1


def test_tables_and_requests_of_different_instructions_are_refused(tmp_path: Path) -> None:
    three = {k: v for k, v in TEXTS.items() if k != "4"}
    with pytest.raises(InvalidInput, match=r"row 4.* has instruction '4' where the batch has no instruction"):
        hand_off(instructions(three), routed(), tmp_path, batch_id="b")
    with pytest.raises(InvalidInput, match=r"row 1.* has instruction '1' where the batch has instruction '4'"):
        hand_off(instructions(dict(reversed(TEXTS.items()))), routed(), tmp_path, batch_id="b")
    with pytest.raises(InvalidInput, match="'1' has no original request"):
        hand_off(instructions(), routed(), tmp_path, batch_id="b", originals=[])
    lines = [json.dumps({"custom_id": name, "body": CHAT}) for name in [*TEXTS, "5"]]
    with pytest.raises(InvalidInput, match="the request '5' is not routed"):
        hand_off(instructions(), routed(), tmp_path, batch_id="b", originals=lines)
    twice = pa.concat_tables([routed(), routed()])
    with pytest.raises(InvalidInput, match=r"row 5.* has instruction '1' where the batch has no instruction"):
        hand_off(instructions(), twice, tmp_path, batch_id="b")
    assert not files(tmp_path)


def in_parts(folder: Path, table: pa.Table, rows: int) -> PartitionedTable:
    return write_table(Draft(str(folder), table.schema), [table], part_rows=rows)


def handed_over(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(LINES)), st.sampled_from(["b", "a", "c/d"])), min_size=1, max_size=20),
    st.integers(1, 4),
    st.sampled_from([1, 400, 10_000]),
    st.sampled_from(["table", "requests", "joined"]),
    st.sampled_from([4, 131_072]),
)
def test_a_batch_in_parts_is_handed_off_byte_for_byte_as_one_in_a_single_file(
    batch: list[tuple[str, str]], requests_per_file: int, bytes_per_file: int, kind: str, block: int
) -> None:
    ids = [f"{'xy'[i % 2]}/{i}" for i in range(len(batch))]
    models = pa.DictionaryArray.from_arrays([["a", "b", "c/d", "z"].index(m) for _, m in batch], ["a", "b", "c/d", "z"])
    success = pa.array([(i + 1) / 33 for i in range(len(batch))])
    cost = pa.array([0.1 * i for i in range(len(batch))])
    chosen = {"instruction_id": ids, "model": models, "expected_success": success, "cost": cost}
    decided = pa.table(chosen | {"runner_up": models}).replace_schema_metadata({"summary": "{}"})
    texts = pa.table({"instruction_id": ids, "instruction": [f'"{i}" ž' for i in range(len(batch))]})
    if kind == "joined":
        texts = texts.append_column("source_file", pa.array([f"{name[0]}.csv" for name in ids]))
    lines = [json.dumps({"custom_id": i, **LINES[line]}) for i, (line, _) in zip(ids, batch, strict=True)]
    aside = json.dumps({"empty": [1]}) if kind == "requests" else "{}"
    texts = texts.replace_schema_metadata({"routing_assets.set_aside": aside})
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setattr("routing_assets.storage.blocks.PART_ROWS", block)
        patch.setitem(hand_off.__kwdefaults__, "requests_per_file", requests_per_file)
        patch.setitem(hand_off.__kwdefaults__, "bytes_per_file", bytes_per_file)
        received = folder / ("in.jsonl" if kind == "requests" else "in.csv")
        received.write_text("\n".join([lines[0], json.dumps({"custom_id": ids[-1], "body": {}}), *lines[1:]]))
        about = {"staged": folder / "staged", "batch_id": "b", "run_id": "r", "received": received}
        export_batch(decided, texts, folder / "one", **about)
        parts = in_parts(folder / "decided", decided, 3), in_parts(folder / "texts", texts, 3)
        export_batch(*parts, folder / "other", **about)
        one = handed_over(folder / "one")
        assert one == handed_over(folder / "other")
        pq.write_table(decided.append_column("instruction", texts["instruction"]).select(HANDED_OVER), folder / "w")
        assert one["routed.parquet"] == (folder / "w").read_bytes() or block < len(batch)
        assert ("by_source_file/x.jsonl" in one) == (kind == "joined")
        assert ("set_aside.jsonl" in one) == (kind == "requests")
        requests = [line for name in sorted(one) if "requests-" in name for line in one[name].splitlines()]
        assert sorted(json.loads(line)["custom_id"] for line in requests) == sorted(ids)


def test_a_changed_missing_or_foreign_file_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        read_manifest(tmp_path)
    manifest = hand_off(instructions(), routed(), tmp_path, batch_id="b")
    first = tmp_path / manifest.files[0].name
    whole = first.read_bytes()
    first.write_bytes(whole.replace(b"four", b"five"))
    with pytest.raises(InvalidInput, match="not the one that was handed off"):
        read_manifest(tmp_path)
    first.unlink()
    with pytest.raises(InvalidInput, match="no such file"):
        read_manifest(tmp_path)
    first.write_bytes(whole)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace(manifest.files[0].name, "../outside.jsonl"))
    with pytest.raises(InvalidInput, match="not the name of a file in this folder"):
        read_manifest(tmp_path)
    path.write_text('{"files": []}')
    with pytest.raises(InvalidInput, match="not a hand-off manifest"):
        read_manifest(tmp_path)
