"""The samples in the docs are what the product reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routing_assets.answers.forms import read_answer
from routing_assets.datasets import load_labels
from routing_assets.datasets.outcomes import load_outcomes

DOCS = Path(__file__).parents[2] / "docs"
RULE = "winner=1,loser=0,tie=0.5,both_bad=0"


def samples(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def records(text: str) -> Iterator[Any]:
    at = 0
    while at < len(text.rstrip()):
        record, at = json.JSONDecoder().raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        yield record


@pytest.mark.parametrize("sample", samples("answers.md", "json"))
def test_samples_of_answers_are_read(sample: str) -> None:
    for record in records(sample):
        answer = read_answer(record)
        expired = record.get("result", {}).get("type") == "expired"
        assert (answer.text, answer.input_tokens, answer.output_tokens) == ((None,) * 3 if expired else ("391", 12, 3))


@pytest.mark.parametrize("sample", samples("answers.md", "csv"))
def test_samples_of_outcome_tables_are_read(tmp_path: Path, sample: str) -> None:
    (tmp_path / "answers.csv").write_text(sample)
    assert load_outcomes(tmp_path / "answers.csv").model.tolist() == ["gpt-4o-mini"]


@pytest.mark.parametrize("sample", samples("labels.md", "csv"))
def test_samples_of_label_tables_are_read(tmp_path: Path, sample: str) -> None:
    (tmp_path / "labels.csv").write_text(sample)
    assert load_labels(tmp_path / "labels.csv").instruction[0] in ("What is 7 x 8?", "The admin shows a wrong date.")


def test_samples_of_evaluation_logs_are_read(tmp_path: Path) -> None:
    of_helm, beside = '"stats"', '"input": {"text"'
    found = 0
    for sample in samples("labels.md", "json"):
        held = list(records(sample))
        if beside in sample or "resolved_ids" in sample:
            continue  # the texts of a run, and a report, are no file of their own
        path = (
            tmp_path
            / f"{found}"
            / ("log.json" if isinstance(held[0], list) or held[0].keys() & {"eval", "results"} else "log.jsonl")
        )
        path.parent.mkdir()
        path.write_text("".join(json.dumps(record) + "\n" for record in held))
        if of_helm in sample:
            texts = next(text for text in samples("labels.md", "json") if beside in text)
            (path.parent / "instances.json").write_text(texts)
        rule = RULE if "preference" in sample or "winner" in sample else None
        assert load_labels(path, preferences=rule).instruction[0] == "What is 7 x 8?", sample
        found += 1
    assert found >= 7
