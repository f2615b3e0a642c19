"""A provider's output files come back: answers are priced, failed calls are sent again and are no wrong answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.compute as pc
import pytest
from provider_lines import chat, rate_limited, write

from routing_assets.batches.outcomes import receive_outcomes
from routing_assets.batches.request_ids import request_id
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import prices as price_commands
from routing_assets.home import Home

USAGE = {"prompt_tokens": 20, "completion_tokens": 5}


def test_failed_calls_are_sent_again_until_they_are_answered(routed: Home, tmp_path: Path) -> None:
    decided = routed.store.read("routed_batch", "weekly")
    ids, models = decided["instruction_id"].to_pylist(), decided["model"].to_pylist()
    outbox = routed.folders.outbox / "weekly"
    short = request_id(ids[0], re.compile("nothing"))
    answered = [chat(i, model=model, usage=USAGE) for i, model in zip([short, *ids[1:50]], models[:50], strict=True)]
    failed = [rate_limited(i) for i in ids[50:]]
    batch_commands.outcomes(routed, "weekly", write(tmp_path / "output.jsonl", *answered, *failed))

    answers = routed.store.read("answers", "weekly")
    assert answers["instruction_id"].to_pylist()[:2] == ids[:2]
    assert answers.num_rows - answers["error"].null_count == 10
    outcomes = routed.store.read("batch_outcomes", "weekly")
    assert outcomes["success"].null_count == 60
    assert outcomes["billed_usd"].null_count == 10
    spent = pc.sum(answers["cost"]).as_py()
    assert pc.sum(outcomes["billed_usd"]).as_py() == pytest.approx(spent)
    assert spent > 0
    manifest = json.loads((outbox / "resend" / "manifest.json").read_text())
    budget = routed.store.read("batch_budget", "weekly")["budget_usd"][0].as_py()
    assert manifest["rows"] == 10
    assert spent + manifest["cost_usd"] <= budget

    again = [chat(i, model=model, usage=USAGE) for i, model in zip(ids[50:], models[50:], strict=True)]
    batch_commands.outcomes(routed, "weekly", write(tmp_path / "second.jsonl", *again))
    assert not (outbox / "resend").exists()
    assert routed.store.read("batch_outcomes", "weekly")["billed_usd"].null_count == 0


def test_an_answer_under_the_name_of_the_api_is_that_of_the_model(
    trained: Home, batch_file: Path, tmp_path: Path
) -> None:
    names = {"R1": "deployment-one", "R1-32B": "deployment-two"}
    entries = [
        f"  {name}: {{input_price: {price}, output_price: {price}, api_name: {names.get(name, name)}}}"
        for name, price in {"R1": 2.2, "R1-32B": 0.3, "R1-14B": 0.2, "R1-7B": 0.1, "R1-1.5B": 0.05}.items()
    ]
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("models:\n" + "\n".join(entries))
    price_commands.update_prices(trained, str(catalog), confirm_prices=True, force=True)
    batch_commands.route(trained, batch_file, {"budget_fraction": 1.0})
    decided = trained.store.read("routed_batch", "weekly").to_pylist()
    lines = [chat(row["instruction_id"], model=names.get(row["model"], row["model"]), usage=USAGE) for row in decided]
    batch_commands.outcomes(trained, "weekly", write(tmp_path / "output.jsonl", *lines))
    assert {row["model"] for row in decided} & names.keys()
    assert trained.store.read("batch_outcomes", "weekly")["billed_usd"].null_count == 0


def test_unused_parts_of_a_table_of_answers_are_printed(routed: Home, tmp_path: Path) -> None:
    first = routed.store.read("routed_batch", "weekly").slice(0, 1).to_pylist()[0]
    row = {"instruction_id": first["instruction_id"], "model": first["model"], "answer": "42", "input_tokens": 9}
    path = write(tmp_path / "answers.jsonl", row | {"mood": "good"}, row | {"instruction_id": "nobody's"})
    remarks = receive_outcomes(routed.warehouse, routed.store, routed.folders, path, "weekly")
    assert any("mood" in remark for remark in remarks)
    assert any("nobody's" in remark for remark in remarks)
