from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from routing_assets.batches.handoff import hand_off, read_manifest
from routing_assets.batches.policy import RoutingSettings, bars
from routing_assets.batches.request_files import original_requests
from routing_assets.batches.request_ids import replaced_ids
from routing_assets.batches.route import rows_without_model
from routing_assets.datasets import load_batch
from routing_assets.pricing.catalog import load_catalog
from routing_assets.pricing.catalog_table import catalog_from_table, catalog_table

CATALOG = """models:
  gpt: {price: 1, unsupported_parameters: [temperature]}
  claude: {price: 1, provider: anthropic, api_name: claude-x}
  gemini: {price: 1, provider: gemini}
  llama: {price: 1, provider: bedrock, api_name: meta.llama}
"""
LINES: list[dict[str, Any]] = [
    {"custom_id": "o/1", "body": {"messages": [{"role": "user", "content": "one"}], "temperature": 0.5}},
    {"custom_id": "a", "params": {"max_tokens": 9, "messages": [{"role": "user", "content": "two"}]}},
    {"key": "g", "request": {"contents": [{"role": "user", "parts": [{"text": "three"}]}]}},
    {"recordId": "r", "modelInput": {"messages": [{"role": "user", "content": [{"text": "four"}]}]}},
    {"id": "p", "messages": [{"role": "user", "content": "five"}], "score": 3},
    {"no": "request"},
]
IDS, TEXTS = ["o/1", "a", "g", "r", "p"], ["one", "two", "three", "four", "five"]


def setting(folder: Path, model: str) -> tuple[Path, pa.Table, pa.Table]:
    (folder / "catalog.yaml").write_text(CATALOG)
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    rows = catalog_table(load_catalog(folder / "catalog.yaml")).to_pylist()
    chosen = {
        "instruction_id": IDS,
        "model": pa.array([model] * 5).dictionary_encode(),
        "expected_success": [0.5] * 5,
        "cost": [0.1] * 5,
    }
    routed = pa.table(chosen).replace_schema_metadata({"summary": json.dumps({"catalog": rows})})
    return folder / "in.jsonl", pa.table({"instruction_id": IDS, "instruction": TEXTS}), routed


def test_requests_of_every_form_are_read_and_an_odd_line_is_set_aside(tmp_path: Path) -> None:
    path, _, _ = setting(tmp_path, "gpt")
    batch = load_batch(path)
    assert batch.instruction_id.tolist() == IDS
    assert batch.instruction.tolist() == TEXTS
    assert list(batch.set_aside.values()) == [(5,)]


def test_each_provider_gets_every_request_in_its_own_form_and_the_files_are_read_again(tmp_path: Path) -> None:
    for model, provider, envelope in (
        ("gpt", "openai", "body"),
        ("claude", "anthropic", "params"),
        ("gemini", "gemini", "request"),
        ("llama", "bedrock", "modelInput"),
    ):
        path, texts, routed = setting(tmp_path, model)
        out = tmp_path / model
        originals = original_requests(path, {"odd": (5,)})
        manifest = hand_off(texts, routed, out, batch_id="b", originals=originals)
        assert read_manifest(out) == manifest
        (file,) = manifest.of(model)
        assert (file.provider, file.rows) == (provider, 5)
        assert all(envelope in json.loads(line) for line in (out / file.name).read_text().splitlines())
        read = load_batch(out / file.name)
        ids = replaced_ids(read.instruction_id, IDS)
        assert [ids.get(name, name) for name in read.instruction_id] == IDS
        assert read.instruction.tolist() == TEXTS
        assert bool(ids) == (provider in ("anthropic", "bedrock"))
        if model == "gpt":
            assert file.changes == {"temperature is left out": 1}
        if model == "claude":
            assert file.api_name == "claude-x"
            assert file.changes == {"max_tokens is set to 4096": 4}


def test_plain_prompts_become_each_providers_simplest_request(tmp_path: Path) -> None:
    for model in ("gpt", "claude", "gemini", "llama"):
        _, texts, routed = setting(tmp_path, model)
        (file,) = hand_off(texts, routed, tmp_path / model, batch_id="b").of(model)
        assert load_batch(tmp_path / model / file.name).instruction.tolist() == TEXTS


def test_a_request_that_a_model_cannot_be_asked_is_barred_before_allocation(tmp_path: Path) -> None:
    setting(tmp_path, "gpt")
    catalog, path = load_catalog(tmp_path / "catalog.yaml"), tmp_path / "n.jsonl"
    body = {"messages": [{"role": "user", "content": "one"}]}
    lines = [{"custom_id": "1", "body": body | {"n": 2}}, {"custom_id": "2", "body": body | {"logprobs": True}}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    batch, rules = load_batch(path), (catalog.names, catalog, RoutingSettings())
    barred = bars(batch, *rules)
    assert barred["form:chat.n"].tolist() == [[False, True, False, True], [False] * 4]
    assert barred["only:chat.logprobs"].tolist() == [[False] * 4, [False, True, True, True]]
    assert rows_without_model(batch, ("claude",), *rules[1:]) == {"form:chat.n": [0], "only:chat.logprobs": [1]}
    assert not bars(batch, catalog.names, None, RoutingSettings())


def test_where_a_model_runs_is_kept_with_the_decision(tmp_path: Path) -> None:
    setting(tmp_path, "gpt")
    catalog = load_catalog(tmp_path / "catalog.yaml")
    same = catalog_from_table(catalog_table(catalog))
    assert same is not None
    assert same.models == catalog.models
    assert same.version == catalog.version
