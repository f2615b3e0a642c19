"""From nothing to labels: what is planned keeps the budget exactly, and answers to it become a table that trains."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from provider_lines import chat, claude, rate_limited, write

from routing_assets.batches.label_plan import NARROWING, PLAN, LabelPlan, plan_labels, plan_table
from routing_assets.cli.main import main
from routing_assets.datasets import BatchInstructions, load_labels
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry

CATALOG = ModelCatalog((ModelEntry("small", 0.1, 0.2), ModelEntry("mid", 1.0, 2.0), ModelEntry("large", 10.0, 20.0)))
PRICES = """models:
  small: {price: 0.2}
  mid: {input_price: 1, output_price: 4, provider: anthropic}
  large: {input_price: 5, output_price: 15}
"""


def batch(n: int = 60, **columns: Any) -> BatchInstructions:
    ids, texts = ([f"{prefix}{i}" for i in range(n)] for prefix in ("q", "What is 7 times "))
    return BatchInstructions(np.array(ids, object), np.array(texts, object), **columns)


def pairs(plan: LabelPlan) -> set[tuple[str, str]]:
    table = plan_table(plan)
    return set(zip(table["instruction_id"].to_pylist(), table["model"].to_pylist(), strict=True))


@given(usd=st.floats(0.02, 0.15), more=st.floats(1.0, 3.0), seed=st.integers(0, 9))
def test_estimates_never_exceed_the_budget_and_more_money_only_adds(usd: float, more: float, seed: int) -> None:
    few, many = (plan_labels(batch(30), CATALOG, Fraction(budget), seed=seed) for budget in (usd, usd * more))
    assert sum(map(Fraction, plan_table(few)["cost"].to_pylist())) == few.usd <= Fraction(usd)
    assert pairs(few) <= pairs(many)
    if not few.chosen.all():
        cheapest_step = few.cost.sum(axis=1).max()
        assert few.usd > Fraction(usd) - Fraction(cheapest_step)


def test_enough_money_labels_everything_once() -> None:
    twice = replace(batch(), instruction=np.array([f"What  IS 7 times {i % 30}" for i in range(60)], object))
    plan = plan_labels(twice, CATALOG, Fraction(10))
    assert plan.chosen.sum() == 30 * 3
    assert len({int(name[1:]) % 30 for name, _ in pairs(plan)}) == 30


def test_what_is_labelled_is_not_asked_again_and_costs_nothing() -> None:
    first = plan_labels(batch(), CATALOG, Fraction("0.04"))
    text = dict(zip(batch().instruction_id, batch().instruction, strict=True))
    had = [(text[name].upper(), model) for name, model in pairs(first)]
    second = plan_labels(batch(), CATALOG, Fraction("0.04"), labelled=had)
    assert not pairs(first) & pairs(second)
    assert pairs(first) | pairs(second) <= pairs(plan_labels(batch(), CATALOG, Fraction("0.081")))
    assert Fraction("0.03") < second.usd <= Fraction("0.04")
    everything = [(text, model) for text in batch().instruction for model in CATALOG.names]
    with pytest.raises(InvalidInput, match="all instructions are labelled already"):
        plan_labels(batch(), CATALOG, Fraction(10), labelled=everything)


def test_dear_models_are_asked_less_than_cheap_ones() -> None:
    asked = plan_labels(batch(), CATALOG, Fraction("0.04")).chosen
    small, mid, large = asked.sum(axis=0)
    assert small > mid > large > 0
    assert mid == pytest.approx(large * 10**NARROWING, abs=3)
    assert (asked[:, 2] <= asked[:, 1]).all()


def test_another_seed_chooses_others_and_the_same_one_the_same() -> None:
    first, again, other = (pairs(plan_labels(batch(), CATALOG, Fraction("0.04"), seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_a_model_is_not_asked_what_it_cannot_read() -> None:
    short = ModelCatalog((replace(CATALOG.models[0], context_tokens=50), *CATALOG.models[1:]))
    plan = plan_labels(batch(input_tokens=np.where(np.arange(60) < 5, 100.0, 10.0)), short, Fraction(10))
    assert Counter(model for _, model in pairs(plan)) == {"small": 55, "mid": 60, "large": 60}


def test_too_little_money_is_said() -> None:
    with pytest.raises(InvalidInput, match=r"0.0001 USD do not pay for one more answer of each model"):
        plan_labels(batch(), CATALOG, Fraction("0.0001"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("ROUTING_HOME", str(tmp_path / "no-home"))
    monkeypatch.chdir(tmp_path)
    Path("prices.yaml").write_text(PRICES)

    def invoke(*arguments: object, fails: bool = False) -> Result:
        result = CliRunner().invoke(main, ["labels", *map(str, arguments)])
        assert (result.exit_code != 0) == fails, result.output
        return result

    return invoke


def test_each_command_explains_itself(run) -> None:  # type: ignore[no-untyped-def]
    for command in main.commands["labels"].commands:  # type: ignore[attr-defined]
        assert len(run(command, "--help").output) > 300


def write_questions(n: int = 60) -> None:
    questions = ({"instruction_id": f"q{i}", "instruction": f"{i} x 7?", "reference": str(7 * i)} for i in range(n))
    write(Path("questions.jsonl"), *questions)


def answer_all(folder: Path, skilled: dict[str, float]) -> list[Path]:
    """Output files in the providers' own forms: a model of skill s is right on the first s of the instructions."""
    manifest = json.loads((folder / "manifest.json").read_text())
    plan = {row["request_id"]: row for row in pq.read_table(folder / PLAN).to_pylist()}
    outputs = []
    for file in (file for file in manifest["files"] if file["model"]):
        lines = [json.loads(line) for line in (folder / file["name"]).read_text().splitlines()]
        answers = []
        for name in (line["custom_id"] for line in lines):
            row = plan[name]
            right = int(row["instruction_id"][1:]) < 60 * skilled[row["model"]]
            text = row["reference"] if right else "I do not know."
            dated = (
                claude(name, text)
                if file["provider"] == "anthropic"
                else chat(name, text, f"{row['model']}-2024-08-06")
            )
            if file["provider"] == "anthropic":
                dated["result"]["message"]["model"] = "mid-20250514"
            answers.append(dated)
        outputs.append(write(folder.parent / f"output-{folder.name}-{file['name']}", *answers))
    return outputs


def test_from_sixty_instructions_to_a_table_that_trains(run) -> None:  # type: ignore[no-untyped-def]
    from routing_assets.datasets.splits import split_instructions
    from routing_assets.prediction.classifier.config import ClassifierConfig
    from routing_assets.prediction.router import RouterConfig, fit_router

    write_questions()
    planned = run("plan", "questions.jsonl", "--catalog", "prices.yaml", "--budget", 0.5, "--output", "plan").output
    assert "60 of 60 instructions" in planned
    outputs = answer_all(Path("plan"), {"small": 0.3, "mid": 0.6, "large": 0.9})
    told = run("collect", "plan", *outputs, "--grader", "exact", "--output", "labels.parquet").output
    assert "180 of 180 requests are answered" in told
    labels = load_labels("labels.parquet")
    assert labels.models == ("small", "mid", "large")
    assert labels.success.mean(axis=0).tolist() == pytest.approx([0.3, 0.6, 0.9])
    assert np.all(labels.output_tokens[:, 0] == 200)
    router = fit_router(
        labels,
        split_instructions(labels.instruction, seed=0),
        RouterConfig(ClassifierConfig(method="frozen", members=1, companions=())),
    )
    assert router.predict(["3 x 7?"]).decision.shape == (1, 3)


def test_what_fails_or_strays_leaves_a_cell_empty(run) -> None:  # type: ignore[no-untyped-def]
    write_questions(20)
    run("plan", "questions.jsonl", "--catalog", "prices.yaml", "--budget", 5, "--output", "plan")
    lines = [chat("q0-1", "0", "small"), rate_limited("q1-1"), chat("q2-1", "14", "large-2024-08-06"), chat("x", "1")]
    table = Path("own.csv")
    table.write_text("instruction_id,model,answer\nq3,large,21\nq4,small,29\n")
    told = run(
        "collect", "plan", write(Path("out.jsonl"), *lines), table, "--grader", "exact", "--output", "labels.parquet"
    )
    assert "3 of 60 requests are answered" in told.output
    assert "1 calls failed" in told.output
    assert "2 answers belong to no request" in told.output
    labels = load_labels("labels.parquet")
    assert (labels.instruction_id.tolist(), labels.models) == (["q0", "q3", "q4"], ("small", "large"))
    np.testing.assert_array_equal(labels.success, np.array([[1, np.nan], [np.nan, 1], [0, np.nan]], np.float32))


def test_a_second_plan_asks_what_the_first_did_not_and_is_appended(run) -> None:  # type: ignore[no-untyped-def]
    write_questions()
    skilled = {"small": 0.3, "mid": 0.6, "large": 0.9}
    money = ("questions.jsonl", "--catalog", "prices.yaml", "--budget")
    run("plan", *money, 0.05, "--output", "first")
    run("collect", "first", *answer_all(Path("first"), skilled), "--grader", "exact", "--output", "labels.parquet")
    first = load_labels("labels.parquet")
    run("plan", *money, 5, "--labelled", "labels.parquet", "--output", "second")
    both = ("--append-to", "labels.parquet", "--output", "both.parquet")
    run("collect", "second", *answer_all(Path("second"), skilled), "--grader", "exact", *both)
    labels = load_labels("both.parquet")
    assert np.isnan(first.success).any()
    assert labels.success.mean(axis=0).tolist() == pytest.approx([0.3, 0.6, 0.9])
    assert np.isfinite(labels.output_tokens).all()


def test_requests_keep_their_parameters_and_references_are_not_sent(run) -> None:  # type: ignore[no-untyped-def]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of Peru?"}]
    body = {"model": "any", "messages": messages, "temperature": 0.2, "max_tokens": 9}
    request = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body, "reference": "Lima"}
    write(Path("requests.jsonl"), request)
    run("plan", "requests.jsonl", "--catalog", "prices.yaml", "--budget", 5, "--output", "plan")
    (large,) = Path("plan").glob("requests-*large*")
    assert json.loads(large.read_text()) == {
        "custom_id": "a-3",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {**body, "model": "large"},
    }
    assert pq.read_table("plan/plan.parquet")["reference"].to_pylist() == ["Lima"] * 3


def test_a_judge_is_asked_within_the_plan_and_its_verdicts_are_labels(run) -> None:  # type: ignore[no-untyped-def]
    write(Path("questions.jsonl"), {"instruction_id": "q0", "instruction": "Write a haiku."})
    run("plan", "questions.jsonl", "--catalog", "prices.yaml", "--budget", 5, "--output", "plan")
    out = write(Path("out.jsonl"), chat("q0-1", "Old pond", "small"))
    judge = ("--grader", "{judge: {model: large, budget_usd: 1}}", "--output", "labels.parquet")
    told = run("collect", "plan", out, *judge).output
    assert "to be judged: 1 requests" in told
    assert "no label yet" in told
    assert not Path("labels.parquet").exists()
    (asked,) = Path("plan/judge").glob("requests-*")
    question = json.loads(asked.read_text())["custom_id"]
    verdict = write(Path("verdict.jsonl"), chat(question, "Verdict: right", "large"))
    run("collect", "plan", out, verdict, *judge)
    assert load_labels("labels.parquet").success[0, 0] == 1
    assert not Path("plan/judge").exists()


def test_what_cannot_be_is_refused_with_its_remedy(run) -> None:  # type: ignore[no-untyped-def]
    write_questions(3)
    asked = ("plan", "questions.jsonl", "--catalog", "prices.yaml", "--budget", 5, "--output", "plan")
    run(*asked)
    assert "there is a plan here" in run(*asked, fails=True).output
    foreign = write(Path("out.jsonl"), chat("x"))
    told = run("collect", "plan", foreign, "--grader", "exact", "--output", "l.parquet", fails=True).output
    assert "none of 1 answers belongs to a request of this plan" in told
    write(Path("bare.jsonl"), {"instruction_id": "q0", "instruction": "Write a haiku."})
    run("plan", "bare.jsonl", "--catalog", "prices.yaml", "--budget", 5, "--output", "bare")
    told = run("collect", "bare", foreign, "--grader", "exact", "--output", "l.parquet", fails=True).output
    assert "the grader exact needs references" in told
