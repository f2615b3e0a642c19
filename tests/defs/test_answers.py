"""A provider's output files come back: answers are priced, failed calls are sent again and are no wrong answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from provider_lines import chat, rate_limited, write

from routing_assets.batches.answers import collect_answers
from routing_assets.batches.handoff import read_manifest
from routing_assets.batches.known import end_of_batch
from routing_assets.batches.outcomes import RecordedOutcomes, receive_outcomes, record_batch_outcomes
from routing_assets.batches.request_ids import request_id
from routing_assets.cli import audit as audit_commands
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import prices as price_commands
from routing_assets.cli.errors import RunFailed
from routing_assets.datasets import BatchInstructions, reading, write_batch
from routing_assets.datasets.simulated import simulate
from routing_assets.foundation.errors import InvalidInput
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


@pytest.fixture
def with_references(trained: Home, tmp_path: Path) -> Home:
    """A routed batch of sixty instructions, of which all but the first have a reference."""
    labels = simulate("r1_math", size=60, seed=7)
    references = np.array([None, *(f"{n}.0" for n in range(1, 60))], object)
    path = tmp_path / "graded.jsonl"
    write_batch(BatchInstructions(labels.instruction_id, labels.instruction, reference=references), path)
    batch_commands.route(trained, path, {"budget_fraction": 1.0})
    return trained


def answer_all(home: Home, folder: Path, *, wrong: int) -> Path:
    """The answers to all sixty, of which the last so many are wrong."""
    routed = home.store.read("routed_batch", "graded").to_pylist()
    texts = [f"So it is {n if n < 60 - wrong else -1}." for n in range(60)]
    lines = [
        chat(row["instruction_id"], text, row["model"], usage=USAGE) for row, text in zip(routed, texts, strict=True)
    ]
    return write(folder / "output.jsonl", *lines)


def test_answers_are_graded_by_the_policy_or_the_command_and_become_outcomes(
    with_references: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = with_references
    home.policy_file.write_text("grader: number\n")
    batch_commands.answers(home, "graded", [answer_all(home, tmp_path, wrong=9)])
    first = home.store.read("grades", "graded")
    assert first["success"].to_pylist() == [None] + [1.0] * 50 + [0.0] * 9
    outcomes = home.store.read("batch_outcomes", "graded")
    assert outcomes["success"].to_pylist() == first["success"].to_pylist()
    said = capsys.readouterr()
    name = first["instruction_id"][0].as_py()
    assert f"1 answers are not graded: instruction '{name}' has no reference" in said.err
    assert "50 of" not in said.out

    batch_commands.answers(home, "graded", [], "{number: {tolerance: 100}}")
    assert home.store.read("grades", "graded")["success"].to_pylist() == [None] + [1.0] * 59
    people = [{"instruction_id": row["instruction_id"], "model": row["model"], "success": int(n < 55)}
              for n, row in enumerate(first.to_pylist())]  # fmt: skip
    batch_commands.outcomes(home, "graded", write(tmp_path / "people.jsonl", *people))
    gradings = home.warehouse.fetch("gradings_of", {"batch_id": "graded"})
    assert [(row["grader"], row["of_batch"], row["graded"], row["ungraded"]) for row in gradings] == [
        ("number", False, 59, 1),
        ("number", True, 59, 1),
        ("number", True, 59, 1),
    ]
    assert gradings[0]["grader_version"] != gradings[1]["grader_version"] == gradings[2]["grader_version"]
    assert gradings[2]["agreement_accuracy"] == pytest.approx(54 / 59)
    outcomes = home.store.read("batch_outcomes", "graded")
    assert outcomes["success"].to_pylist() == [1.0] * 55 + [0.0] * 5
    capsys.readouterr()
    audit_commands.explain(home, "graded", first["instruction_id"][5].as_py())
    said_of_it = capsys.readouterr().out
    for said_there in (
        "answer                 So it is 5.",
        "grade                  1",
        "grader                 number",
    ):
        assert said_there in said_of_it


def test_a_grader_of_references_refuses_a_batch_without_any(routed: Home, tmp_path: Path) -> None:
    first = routed.store.read("routed_batch", "weekly").to_pylist()[0]
    path = write(tmp_path / "output.jsonl", chat(first["instruction_id"], model=first["model"]))
    with pytest.raises(RunFailed, match="exact needs references, and no instruction of batch 'weekly' has one"):
        batch_commands.answers(routed, "weekly", [path], "exact")
    batch_commands.answers(routed, "weekly", [], "{regex: Lima}")
    assert routed.store.read("grades", "weekly")["success"].to_pylist() == [1.0]


def test_a_judge_is_handed_its_own_batch_and_its_verdicts_come_back_as_grades(
    with_references: Home, tmp_path: Path
) -> None:
    home = with_references
    prices = {"R1": 2.2, "R1-32B": 0.3, "R1-14B": 0.2, "R1-7B": 0.1, "R1-1.5B": 0.05, "judge-1": 1.0}
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("models:\n" + "".join(f"  {name}: {{price: {price}}}\n" for name, price in prices.items()))
    price_commands.update_prices(home, str(catalog), confirm_prices=True, force=True)
    home.policy_file.write_text("grader: {judge: {model: judge-1, budget_usd: 0.02}}\n")
    batch_commands.answers(home, "graded", [answer_all(home, tmp_path, wrong=0)])
    manifest = read_manifest(home.folders.outbox / "graded" / "judge")
    (file,) = manifest.of("judge-1")
    assert 0 < manifest.cost_usd <= 0.02
    assert 0 < manifest.rows < 60
    lines = (home.folders.outbox / "graded" / "judge" / file.name).read_text().splitlines()
    verdicts = [
        chat(json.loads(line)["custom_id"], f"Verdict: {'right' if n else 'wrong'}", "judge-1", usage=USAGE)
        for n, line in enumerate(lines)
    ]
    batch_commands.answers(home, "graded", [write(tmp_path / "verdicts.jsonl", *verdicts)])
    grades = home.store.read("grades", "graded")["success"].to_pylist()
    assert grades[: len(lines)] == [0.0] + [1.0] * (len(lines) - 1)
    assert home.store.read("answers", "graded").num_rows == 60
    (*_, grading) = home.warehouse.fetch("gradings_of", {"batch_id": "graded"})
    assert grading["judge_spent_usd"] == pytest.approx(len(lines) * 25e-6)
    again = read_manifest(home.folders.outbox / "graded" / "judge")
    assert grading["judge_spent_usd"] + again.cost_usd <= 0.02
    assert again.rows + len(lines) + grading["judge_withheld"] == 60


def taken_in(home: Home, path: Path) -> list[str]:
    return receive_outcomes(home.warehouse, home.store, home.folders, path, "weekly")


def collected(home: Home) -> pa.Table:
    return collect_answers(home.warehouse, home.store, home.folders, "weekly").to_arrow()


def test_hostile_files_of_answers_cost_no_answer_and_no_money(
    routed: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = routed.store.read("routed_batch", "weekly").to_pylist()
    line = [chat(row["instruction_id"], model=row["model"], usage=USAGE) for row in decided]
    nobody = chat("nobody's", model=decided[0]["model"])
    foreign = write(tmp_path / "of_another_batch.jsonl", nobody, chat("nor this", model=decided[0]["model"]))
    with pytest.raises(InvalidInput, match="no answer belongs to an instruction of the batch"):
        taken_in(routed, foreign)

    cut = write(tmp_path / "cut.jsonl", *line[:3])
    cut.write_bytes(cut.read_bytes()[:-60])
    assert "the last line is incomplete" in " ".join(taken_in(routed, cut))
    said = " ".join(taken_in(routed, write(tmp_path / "mixed.jsonl", nobody, *line[:3], *line[:3], {"odd": 1})))
    assert "1 answers belong to no instruction of the batch" in said
    assert "1 lines cannot be read and are not used (line 8" in said
    assert taken_in(routed, write(tmp_path / "again.jsonl", *line[:3])) == []
    table = collected(routed)
    of_batch = table.filter(pc.not_equal(table["instruction_id"], "nobody's"))
    assert of_batch["instruction_id"].to_pylist() == [row["instruction_id"] for row in decided[:3]]

    monkeypatch.setattr(reading, "LONGEST_LINE", 100_000)
    huge = write(tmp_path / "huge.jsonl", line[4], chat(decided[5]["instruction_id"], "x" * 100_000))
    with pytest.raises(InvalidInput, match="row 2: the line has more than"):
        taken_in(routed, huge)
    assert collected(routed) == table


def test_what_is_to_be_sent_again_outlives_a_process_that_dies_before_the_ledger(
    routed: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = routed.store.read("routed_batch", "weekly").to_pylist()
    failed = [rate_limited(row["instruction_id"]) for row in decided[:4]]
    lines = failed + [chat(row["instruction_id"], model=row["model"], usage=USAGE) for row in decided[4:]]
    taken_in(routed, write(tmp_path / "output.jsonl", *lines))
    answers, resend = collected(routed), routed.folders.outbox / "weekly" / "resend"

    def record() -> RecordedOutcomes:
        return record_batch_outcomes(routed.warehouse, routed.store, routed.folders, "weekly", "run", answers)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr("routing_assets.batches.outcomes.record_outcomes", die)
        with pytest.raises(KeyboardInterrupt):
            record()
    assert read_manifest(resend).rows == 4
    assert end_of_batch(routed.warehouse, "weekly") is None
    for _ in range(2):
        assert record().to_resend == 4
        assert read_manifest(resend).rows == 4


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
