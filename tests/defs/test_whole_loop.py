"""From a raw evaluation log to a drift check, by public commands: no file is converted by hand on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from provider_lines import chat, claude, gemini, write

from routing_assets.cli.main import main
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets.simulated import simulate
from routing_assets.home import Home

CATALOG = """\
models:
  R1: {price: 2.2, provider: openai, api_name: gpt-4o-2024-08-06, min_share: 0.2}
  R1-14B: {price: 0.2, provider: anthropic, api_name: claude-sonnet-4-20250514, min_share: 0.2}
  R1-1.5B: {price: 0.05, provider: gemini, api_name: gemini-2.5-flash, min_share: 0.2}
"""
MODELS = ("R1", "R1-14B", "R1-1.5B")
BATCH_SIZE = 120


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def write_evaluation_log(folder: Path) -> Path:
    """The samples that lm-evaluation-harness writes, a folder per model."""
    labels = simulate("r1_math", size=400, seed=0)
    for model in MODELS:
        right = labels.success[:, labels.models.index(model)]
        records = [
            {"doc_id": n, "doc": {"question": text}, "arguments": [], "resps": [["?"]], "exact_match": float(value)}
            for n, (text, value) in enumerate(zip(labels.instruction, right, strict=True))
        ]
        (folder / model).mkdir(parents=True)
        write(folder / model / "samples_maths_2026-11-01T10-00-00.123.jsonl", *records)
    return folder


def write_batch_file(path: Path) -> Path:
    """An OpenAI Batch file, with what would be right beside each request."""
    texts = simulate("r1_math", size=BATCH_SIZE, seed=7).instruction
    requests = [
        {
            "custom_id": f"task {n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "any", "max_tokens": 300, "messages": [{"role": "user", "content": text}]},
            "reference": str(1000 + n),
        }
        for n, text in enumerate(texts)
    ]
    return write(path, *requests)


def answers_of(outbox: Path, promised: dict[str, float], folder: Path) -> list[Path]:
    """What three providers write for the request files, right as often as was promised of each model."""
    names = {
        json.loads(line)["request_id"]: json.loads(line)["instruction_id"] for line in lines_of(outbox, "request_ids")
    }
    usage = {"prompt_tokens": 60, "completion_tokens": 40}
    written = []
    for file in json.loads((outbox / "manifest.json").read_text())["files"]:
        if file["provider"] is None:
            continue
        answers, due = [], 0.5
        for line in lines_of(outbox, file["name"]):
            request: dict[str, Any] = json.loads(line)
            assert "reference" not in request
            sent = request.get("custom_id") or request["key"]
            name = names.get(sent, sent)
            due += promised[name]
            right, due = due >= 1, due % 1
            text = f"So the answer is {1000 + int(name.split()[1]) if right else -1}."
            match file["provider"]:
                case "openai":
                    answers.append(chat(sent, text, request["body"]["model"], usage=usage))
                case "anthropic":
                    answers.append(claude(sent, text))
                case "gemini":
                    answers.append(gemini(sent, text))
        written.append(write(folder / f"{file['provider']}.jsonl", *answers))
    return written


def lines_of(folder: Path, name: str) -> list[str]:
    path = next(iter(sorted(folder.glob(f"{name}*"))), None)
    return path.read_text(encoding="utf-8").splitlines() if path else []


@pytest.mark.slow
def test_from_an_evaluation_log_to_a_drift_check(home: Home, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    log = write_evaluation_log(tmp_path / "log")
    run("train", "--labels", log, "--catalog", catalog, "--method", "frozen", "--force")
    run("route", write_batch_file(tmp_path / "monday.jsonl"), "--budget-fraction", "0.7", "--grader", "number")

    decided = home.store.read("routed_batch", "monday").to_pylist()
    promised = {row["instruction_id"]: row["expected_success"] for row in decided}
    files = answers_of(home.folders.outbox / "monday", promised, tmp_path)
    assert {file.stem for file in files} == {"openai", "anthropic", "gemini"}
    said = run("answers", "monday", *files)
    assert f"spent {home.store.read('answers', 'monday')['cost'].to_numpy().sum():.6g} of" in said

    outcomes = home.store.read("batch_outcomes", "monday")
    assert outcomes["success"].null_count == 0
    assert outcomes["billed_usd"].null_count == 0
    assert abs(outcomes["success"].to_numpy().mean() - np.mean(list(promised.values()))) < 0.15
    with instance_of(home) as instance:
        run_job(instance, "watch_router")
    advice = home.warehouse.fetch("latest_advice")[0]
    assert advice["advice"] == "none", advice["why"]
    explained = run("explain", "monday", "task 3")
    for said_of_it in ("answer                 So the answer is", "billed_usd", "grader                 number"):
        assert said_of_it in explained
