"""Results of evaluation tools become label tables as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from routing_assets.cli.label_options import COLUMN_OPTIONS, FORMAT, OF_LABELS
from routing_assets.cli.main import main
from routing_assets.datasets import load_labels
from routing_assets.datasets.column_names import OPTIONS
from routing_assets.datasets.load import LabelFormat
from routing_assets.foundation.errors import InvalidInput


def json_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def sample(doc_id: int, question: str, **metrics: Any) -> dict[str, Any]:
    prompt = {"gen_args_0": {"arg_0": f"Q: {question} A:", "arg_1": {}}}
    return {"doc_id": doc_id, "doc": {"question": question}, "arguments": prompt, "resps": [["x"]], **metrics}


def test_samples_of_lm_eval_are_read_from_a_folder_per_model(tmp_path: Path) -> None:
    for model, right in (("small", [1, 0]), ("large", [1, 1])):
        records = [
            sample(i, text, exact_match=float(value), filter=name)
            for i, (text, value) in enumerate(zip("ab", right, strict=True))
            for name, value in (("strict-match", value), ("flexible-extract", 1 - value))
        ]
        json_lines(tmp_path / "out" / model / "samples_gsm8k_2026-11-01T10-00-00.123.jsonl", records)
    (tmp_path / "out" / "small" / "results_2026-11-01T10-00-00.123.json").write_text('{"results": {}}')
    labels = load_labels(tmp_path / "out")
    assert labels.models == ("large", "small")
    assert labels.instruction_id.tolist() == ["gsm8k/0", "gsm8k/1"]
    assert labels.task is not None
    assert set(labels.task) == {"gsm8k"}
    assert labels.instruction.tolist() == ["a", "b"]
    np.testing.assert_allclose(labels.success, [[1, 1], [1, 0]])


def test_a_sample_without_a_metric_is_named(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "m.jsonl", [sample(0, "a", acc=1.0), sample(1, "b", bleu=0.3)])
    with pytest.raises(InvalidInput, match=r"m\.jsonl, row 2: the sample has none of the metrics"):
        load_labels(path)


def inspect_log(model: str, values: list[Any]) -> dict[str, Any]:
    samples = [
        {
            "id": place // 2,
            "epoch": place % 2 + 1,
            "input": [{"role": "user", "content": [{"type": "text", "text": f"text {place // 2}"}]}],
            "scores": {"match": {"value": value}},
            "model_usage": {model: {"input_tokens": 10, "output_tokens": 5}},
        }
        for place, value in enumerate(values)
    ]
    return {"version": 2, "eval": {"task": "arc", "model": model}, "samples": samples}


def test_logs_of_inspect_are_read_and_their_epochs_are_trials(tmp_path: Path) -> None:
    for model, values in (("openai/a", ["C", "I", "C", "C"]), ("openai/b", ["P", "N", "I", 1])):
        (tmp_path / f"{model[-1]}.json").write_text(json.dumps(inspect_log(model, values)))
    labels = load_labels(tmp_path)
    assert labels.models == ("openai/a", "openai/b")
    np.testing.assert_allclose(labels.success, [[0.5, 0.25], [1, 0.5]])
    assert labels.calls.tolist() == [[2, 2], [2, 2]]
    assert labels.input_tokens is not None
    assert labels.input_tokens.max() == 10


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        # as OpenAI's: cached tokens and reasoning are in the counts
        ({"input_tokens_cache_read": 6, "reasoning_tokens": 4, "total_tokens": 15}, (10, 5, 6, 4)),
        # as Anthropic's: tokens of the cache are counted apart
        ({"input_tokens_cache_read": 6, "input_tokens_cache_write": 30, "total_tokens": 51}, (46, 5, 6, None)),
        # as Google's: thoughts are counted apart
        ({"reasoning_tokens": 4, "total_tokens": 19}, (10, 9, None, 4)),
        # no total: more than the whole is counted apart
        ({"input_tokens_cache_read": 90, "reasoning_tokens": 7}, (100, 12, 90, 7)),
    ],
)
def test_tokens_of_caches_and_of_reasoning_are_counted_once(
    tmp_path: Path, usage: dict[str, int], counts: tuple[int | None, ...]
) -> None:
    log = inspect_log("m", ["C", "I"])
    for sample in log["samples"]:
        sample["model_usage"]["m"] |= usage
    path = tmp_path / "a.json"
    path.write_text(json.dumps(log))
    labels = load_labels(path)
    found = (labels.input_tokens, labels.output_tokens, labels.cached_tokens, labels.reasoning_tokens)
    assert tuple(None if values is None else values[0, 0] for values in found) == counts


def test_a_failed_sample_of_inspect_does_not_count_as_a_wrong_answer(tmp_path: Path) -> None:
    log = inspect_log("m", ["C", "C", "I", "I"])
    log["samples"][0]["error"] = {"message": "rate limit"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(log))
    assert load_labels(path).calls.tolist() == [[1], [2]]
    log["samples"][1]["scores"]["other"] = {"value": "C"}
    path.write_text(json.dumps(log))
    with pytest.raises(InvalidInput, match="sample 2 has 2 scores: match, other"):
        load_labels(path)


def test_results_of_promptfoo_are_read(tmp_path: Path) -> None:
    def result(test: int, provider: str, success: bool, **more: Any) -> dict[str, Any]:
        return {
            "testIdx": test,
            "promptIdx": 0,
            "provider": {"id": provider},
            "prompt": {"raw": f"text {test}"},
            "success": success,
            "cost": 0.001,
            "response": {"tokenUsage": {"prompt": 7, "completion": 3}},
            **more,
        }

    results = [
        result(0, "openai:a", True),
        result(0, "openai:b", False),
        result(1, "openai:a", False, failureReason=2, error="429"),
        result(1, "openai:b", True),
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"evalId": "e", "results": {"version": 3, "results": results}}))
    labels = load_labels(path)
    assert labels.models == ("openai:a", "openai:b")
    np.testing.assert_allclose(labels.success, [[1, 0], [np.nan, 1]])
    assert labels.cost is not None
    assert np.nanmax(labels.cost) == 0.001


def test_sprout_and_published_tables_are_read(tmp_path: Path) -> None:
    answer = {"num_input_tokens": 3, "num_output_tokens": 2, "response": "x"}
    sprout = [{"key": i, "prompt": f"p{i}", "a": answer | {"score": i}, "b": answer | {"score": 1.0}} for i in (0, 1)]
    np.testing.assert_allclose(load_labels(json_lines(tmp_path / "s.jsonl", sprout)).success, [[0, 1], [1, 1]])
    tables = {
        "embedllm": "prompt_id,model_id,category_id,label,prompt,model_name\n0,0,0,1,p,a\n0,1,0,0,p,b\n",
        "routellm": ",prompt,a,b\n0,p,True,False\n",
        "swe_bench": "instance_id,problem_statement,model_name_or_path,resolved,repo\ni,p,a,True,r\ni,p,b,False,r\n",
        "swe_bench wide": "instance_id,problem_statement,repo,a,b\ni,p,r,resolved,unresolved\n",
    }
    for name, text in tables.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        labels = load_labels(path)
        assert (labels.models, labels.success.tolist()) == (("a", "b"), [[1, 0]]), name


TASKS = [{"instance_id": name, "problem_statement": f"Mend {name}."} for name in ("d-1", "d-2", "d-3")]
REPORT = {"resolved_ids": ["d-1"], "unresolved_ids": ["d-2"], "incomplete_ids": ["d-3"], "error_ids": []}


def test_reports_of_swe_bench_are_labels_of_their_models(tmp_path: Path) -> None:
    json_lines(tmp_path / "tasks.jsonl", TASKS)
    other = {"resolved_ids": ["d-2"], "unresolved_ids": [], "empty_patch_ids": ["d-1"], "error_ids": ["d-3"]}
    for name, report in (("gpt-4.1.run1", REPORT), ("claude.run1", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    for format in ("auto", "swe_bench_reports"):
        labels = load_labels(tmp_path, format)  # type: ignore[arg-type]
        assert (labels.models, labels.instruction_id.tolist()) == (("claude", "gpt-4.1"), ["d-1", "d-2", "d-3"])
        np.testing.assert_equal(labels.success, [[0, 1], [1, 0], [0, np.nan]])
    assert labels.instruction[0] == "Mend d-1."


def test_reports_of_the_leaderboard_and_of_single_instances_count_as_well(tmp_path: Path) -> None:
    json_lines(tmp_path / "tasks.jsonl", TASKS)
    results = tmp_path / "20250101_agent" / "results" / "results.json"
    results.parent.mkdir(parents=True)
    results.write_text(json.dumps({"resolved": ["d-3"], "no_generation": ["d-1"], "no_logs": []}))
    for name, resolved in (("d-1", True), ("d-2", False)):
        (tmp_path / "logs" / "gpt" / name).mkdir(parents=True)
        report = {name: {"patch_is_None": False, "resolved": resolved}}
        (tmp_path / "logs" / "gpt" / name / "report.json").write_text(json.dumps(report))
    labels = load_labels(tmp_path)
    assert labels.models == ("20250101_agent", "gpt")
    np.testing.assert_equal(labels.success, [[0, 1], [0, 0], [1, np.nan]])


def test_reports_without_texts_say_where_to_put_them(tmp_path: Path) -> None:
    (tmp_path / "gpt.json").write_text(json.dumps(REPORT))
    for path in (tmp_path, tmp_path / "gpt.json"):
        with pytest.raises(InvalidInput, match=r"have no texts\. Put the file of the data set"):
            load_labels(path)
    json_lines(tmp_path / "tasks.jsonl", TASKS[1:])
    with pytest.raises(InvalidInput, match=r"gpt\.json: the instance 'd-1' has no text"):
        load_labels(tmp_path)


BATTLES = [
    {"question_id": "1", "model_a": "a", "model_b": "b", "winner": "model_a", "prompt": "p"},
    {"question_id": "2", "model_a": "b", "model_b": "a", "winner": "tie", "prompt": "q"},
    {"question_id": "2", "model_a": "a", "model_b": "b", "winner": "tie (bothbad)", "prompt": "q"},
]


def test_preferences_need_a_rule(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "p.jsonl", BATTLES)
    with pytest.raises(InvalidInput, match=r"do not say whether an answer is right.*--preferences winner=1"):
        load_labels(path)
    with pytest.raises(InvalidInput, match="the rule 'winner=1' does not give"):
        load_labels(path, preferences="winner=1")
    labels = load_labels(path, preferences="winner=1,loser=0.2,tie=0.8,both_bad=0")
    np.testing.assert_allclose(labels.success, [[1, 0.2], [0.4, 0.4]])
    json_lines(path, [BATTLES[0] | {"winner": "nobody"}])
    with pytest.raises(InvalidInput, match=r"row 1, column 'winner': the winner is 'nobody'"):
        load_labels(path, preferences="winner=1,loser=0,tie=0.5,both_bad=0")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", r"a\.json, row 1: this is not JSON"),
        ("a.json", '{"eval": {"model": "m"}, "samples": []}', "the log has no samples"),
        ("a.json", '{"a": 1}', "the required column is missing; the file has 'a'"),
        ("a.eval", "PK", "binary log of Inspect.*inspect log convert"),
    ],
)
def test_files_that_cannot_be_read_are_named_with_a_remedy(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput, match=message):
        load_labels(tmp_path / name)


def test_the_command_knows_every_format_and_column() -> None:
    assert list(FORMAT.choices) == list(LabelFormat.__args__)  # type: ignore[attr-defined]
    assert {ours: option for ours, (option, _) in COLUMN_OPTIONS.items()}.items() <= OPTIONS.items()
    shown = CliRunner().invoke(main, ["train", "--help"]).output
    assert all(COLUMN_OPTIONS[name][0] in shown for name in OF_LABELS)


def test_a_run_of_helm_is_read_with_the_texts_beside_it(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "gsm:model=openai_gpt-4o"
    run.mkdir(parents=True)
    names = [{"name": {"name": "exact_match", "split": "test"}}, {"name": {"name": "num_output_tokens"}}]
    stats = [
        {"instance_id": f"id{n}", "stats": [{**names[0], "mean": float(n)}, {**names[1], "mean": 7.0}], **more}
        for n, more in ((0, {}), (1, {}), (0, {"perturbation": {"name": "typos"}}))
    ]
    (run / "per_instance_stats.json").write_text(json.dumps(stats))
    with pytest.raises(InvalidInput, match=r"this run of HELM has no texts.*instances\.json"):
        load_labels(run)
    (run / "instances.json").write_text(json.dumps([{"id": f"id{n}", "input": {"text": f"Q{n}"}} for n in range(2)]))
    labels = load_labels(tmp_path / "runs")
    assert labels.models == ("openai_gpt-4o",)
    assert labels.instruction_id.tolist() == ["gsm/id0", "gsm/id1"]
    assert labels.instruction.tolist() == ["Q0", "Q1"]
    assert labels.output_tokens is not None
    np.testing.assert_array_equal(labels.success, [[0], [1]])
    np.testing.assert_array_equal(labels.output_tokens, [[7], [7]])


def test_annotations_of_alpaca_eval_are_preferences(tmp_path: Path) -> None:
    annotations = [
        {"instruction": f"Q{n}", "generator_1": "large", "generator_2": "small", "preference": preference}
        for n, preference in enumerate((1.0, 1.8, 1.5))
    ]
    (tmp_path / "annotations.json").write_text(json.dumps(annotations))
    labels = load_labels(tmp_path / "annotations.json", preferences="winner=1,loser=0,tie=0.5,both_bad=0")
    assert labels.models == ("large", "small")
    np.testing.assert_array_equal(labels.success, [[1, 0], [0, 1], [0.5, 0.5]])
