"""Batches of requests as people have them: all that is sent is paid for, and one odd record stops no other."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from routing_assets.audit.replay import replay
from routing_assets.batches.handoff import read_manifest
from routing_assets.batches.instructions import keep_instructions
from routing_assets.batches.known import latest_revision
from routing_assets.batches.route import summary_of
from routing_assets.cli import batches as batch_commands
from routing_assets.cli.errors import RunFailed
from routing_assets.datasets.tokens import request_tokens
from routing_assets.foundation.wide_matrix import wide_matrix
from routing_assets.home import Home
from routing_assets.pricing.cost_matrix import price_batch


def request(name: str, **body: object) -> dict[str, object]:
    said = {"messages": [{"role": "user", "content": f"What is 2 + 2, asks {name}?"}]}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": {**said, **body}}


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


TOOLS = [{"type": "function", "function": {"name": "look_up", "description": "Looks something up. " * 500}}]
IMAGE = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
]
ODD = [
    {**request("vector"), "url": "/v1/embeddings"},
    request("picture", messages=[{"role": "user", "content": IMAGE}]),
    {"custom_id": "nothing", "body": {"messages": []}},
]


def test_tools_and_answers_are_paid_for_and_a_bound_saves(trained: Home, tmp_path: Path) -> None:
    asked = {"plain": {}, "tools": {"tools": TOOLS}, "answers": {"n": 4}, "short": {"max_completion_tokens": 1}}
    records = [request(f"{name}{i}", **body) for name, body in asked.items() for i in range(3)]
    batch_commands.route(trained, write(tmp_path / "mixed.jsonl", *records), {})
    costs = wide_matrix(trained.store.read("cost_matrix", "mixed"), "cost").reshape(len(asked), -1).sum(axis=1)
    cost = dict(zip(asked, costs.tolist(), strict=True))
    assert replay(trained.warehouse, trained.store, trained.folders, trained.shelf, "mixed").identical
    tokens = 3 * request_tokens("\n\n" + json.dumps({"tools": TOOLS}, separators=(",", ":")))
    price = sum((2.19, 1.18, 0.9, 0.69, 0.18)) * 1e-6
    assert cost["tools"] - cost["plain"] == pytest.approx(tokens * price, rel=0.01)
    assert 1.5 * cost["plain"] < cost["answers"] < 4 * cost["plain"]
    assert cost["short"] < cost["plain"]


def test_records_that_cannot_be_routed_are_set_aside_in_the_outbox_and_the_rest_is_routed(
    trained: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [request("one"), *ODD, request("two")]
    file = write(tmp_path / "mixed.jsonl", *records)
    batch_commands.route(trained, file, {"budget_fraction": 0.5})
    said = capsys.readouterr().err
    assert "3 records are set aside" in said
    assert "asks for embeddings" in said
    folder = trained.folders.outbox / "mixed"
    aside = [json.loads(line) for line in (folder / "set_aside.jsonl").read_text().splitlines()]
    assert [(row["row"], row["record"]) for row in aside] == list(zip([2, 3, 4], ODD, strict=True))
    assert [word in row["reason"] for word, row in zip(("embeddings", "vision", "no text"), aside, strict=True)] == [
        True
    ] * 3
    manifest = read_manifest(folder)
    assert "set_aside.jsonl" in {file.name for file in manifest.files}
    assert manifest.rows == 2
    routed = trained.store.read("routed_batch", "mixed")
    assert routed["instruction_id"].to_pylist() == ["one", "two"]
    assert summary_of(routed)["set_aside"] == 3
    assert replay(trained.warehouse, trained.store, trained.folders, trained.shelf, "mixed").identical
    with pytest.raises((RunFailed, ValueError), match="embeddings"):
        batch_commands.route(trained, file, {"strict": True})
    batch_commands.route(trained, write(file, request("one"), request("two")), {})
    assert not (folder / "set_aside.jsonl").exists()
    assert latest_revision(trained.warehouse, trained.folders, "mixed").revision == 2


def test_where_the_policy_is_strict_a_batch_that_no_model_may_get_in_part_is_refused(
    trained: Home, tmp_path: Path
) -> None:
    trained.policy_file.write_text("strict: true\n")
    with pytest.raises(RunFailed, match=r"no model is left under vision for 1 of 2.*image_price"):
        batch_commands.route(trained, write(tmp_path / "b.jsonl", request("one"), ODD[1]), {})


def test_a_decision_from_before_requests_were_priced_whole_is_replayed_as_it_was(
    trained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing_assets.batches.matrices.price_batch", partial(price_batch, texts_alone=True))
    briefly = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}]
    batch_commands.route(trained, write(tmp_path / "old.jsonl", request("one", messages=briefly)), {})
    assert "beyond_text" not in summary_of(trained.store.read("routed_batch", "old"))
    assert replay(trained.warehouse, trained.store, trained.folders, trained.shelf, "old").identical


def test_a_decision_that_counted_tokens_by_length_is_replayed_as_it_was(
    trained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_length = partial(keep_instructions, by_length=True)
    monkeypatch.setattr("routing_assets.defs.batches.scores.keep_instructions", by_length)
    briefly = [{"role": "system", "content": "Be brief: 0.1234567. " * 20}, {"role": "user", "content": "2 + 2?"}]
    batch_commands.route(trained, write(tmp_path / "old.jsonl", request("one", messages=briefly)), {})
    assert "requests_counted" not in summary_of(trained.store.read("routed_batch", "old"))
    assert replay(trained.warehouse, trained.store, trained.folders, trained.shelf, "old").identical
