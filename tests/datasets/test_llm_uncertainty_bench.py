from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import load_labels
from routing_assets.datasets.option_logits import read_option_logits
from routing_assets.foundation.errors import InvalidInput

ROWS = 12
KEPT = [0, 2, 4, 6, 8, 10, 11]  # without the few-shot rows 1, 3, 5, 7, 9
CHOICES = {"A": "Yes", "B": "No"}


def questions(task: str) -> list[dict]:
    return [
        {
            "id": i,
            "context": f"{task} {i}",
            "question": "Which?",
            "choices": CHOICES,
            "answer": "AB"[i % 2],
            "source": "S",
        }
        for i in range(ROWS)
    ]


def write_outputs(root: Path, model: str, task: str, prompt: str, always: str, width: int = 6) -> Path:
    logits = np.zeros(width, dtype=np.float32)
    logits["ABCDEFGH".index(always)] = 1
    path = root / "outputs_base" / f"{model}_{task}_{prompt}_icl1.pkl"
    path.write_bytes(pickle.dumps([{"id": i, "logits_options": logits} for i in range(ROWS)], protocol=4))
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    root = tmp_path / "bench"
    (root / "data").mkdir(parents=True)
    (root / "outputs_base").mkdir()
    for task in ("quiz_10k", "talk"):
        (root / "data" / f"{task}.json").write_text(json.dumps(questions(task)))
        write_outputs(root, "yes-model", task, "task", "A")
        write_outputs(root, "no_model", task, "task", "B")
    write_outputs(root, "no_model", "quiz_10k", "base", "A")
    return root


def test_tasks_are_pooled_without_the_few_shot_rows(bench: Path) -> None:
    labels = load_labels(bench)
    assert labels.models == ("no_model", "yes-model")
    assert labels.instruction_id.tolist() == [f"{task}/{i}" for task in ("quiz_10k", "talk") for i in KEPT]
    assert labels.task.tolist() == ["quiz_10k"] * len(KEPT) + ["talk"] * len(KEPT)
    assert labels.instruction[1] == "quiz_10k 2"  # question and choices never change, so they are left out
    answer_is_a = np.array([i % 2 == 0 for i in KEPT * 2], dtype=np.float32)
    np.testing.assert_array_equal(labels.success, np.column_stack([1 - answer_is_a, answer_is_a]))
    assert not labels.simulated


def test_prompt_and_tasks_are_selectable(bench: Path) -> None:
    base = load_labels(bench, prompt="base")
    assert (base.models, set(base.task)) == (("no_model",), {"quiz_10k"})
    np.testing.assert_array_equal(base.success[:, 0], [i % 2 == 0 for i in KEPT])
    assert set(load_labels(bench, tasks=["talk"]).task) == {"talk"}
    with pytest.raises(InvalidInput, match="no outputs of prompt 'shared'"):
        load_labels(bench, prompt="shared")
    with pytest.raises(InvalidInput, match=r"chat\.json: there is no such file.*quiz_10k, talk"):
        load_labels(bench, tasks=["chat"])


def test_text_that_differs_between_questions_is_part_of_the_instruction(bench: Path) -> None:
    rows = questions("talk")
    for row in rows:
        row["question"] = f"Which of {row['id']}?"
        row["choices"] = {"A": str(row["id"]), "B": "none"}
    (bench / "data" / "talk.json").write_text(json.dumps(rows))
    assert load_labels(bench, tasks=["talk"]).instruction[1] == "talk 2\nWhich of 2?\nA. 2\nB. none"


def test_wider_logits_are_cut_to_six(bench: Path) -> None:
    path = write_outputs(bench, "wide", "talk", "task", "H", width=8)
    ids, logits = read_option_logits(path)
    assert logits.shape == (ROWS, 6)
    assert not logits.any()  # the largest logit was option H
    np.testing.assert_array_equal(ids, np.arange(ROWS))


def test_a_folder_has_no_columns_to_ignore(bench: Path) -> None:
    with pytest.raises(InvalidInput, match="no columns to ignore"):
        load_labels(bench, ignore_columns=["id"])
    assert load_labels(bench, ignore_columns=[]).models == ("no_model", "yes-model")


def test_a_model_missing_on_a_task_is_refused_or_unlabelled(bench: Path) -> None:
    (bench / "outputs_base" / "no_model_talk_task_icl1.pkl").unlink()
    with pytest.raises(InvalidInput, match="'no_model' has no outputs for task 'talk'"):
        load_labels(bench)
    labels = load_labels(bench, allow_missing=True)
    assert np.isnan(labels.success[labels.task == "talk", 0]).all()
    assert not np.isnan(labels.success[labels.task == "quiz_10k"]).any()


class _RunsACommand:
    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(bench: Path, protocol: int) -> None:
    trace = bench / "ran"
    target = bench / "outputs_base" / "no_model_talk_task_icl1.pkl"
    attacks = [
        _RunsACommand(os.system, f"touch {trace}"),
        _RunsACommand(eval, f"open({str(trace)!r}, 'w')"),
        _RunsACommand(getattr, np.ndarray, "tofile"),
        _RunsACommand(np.save, str(trace), 1),
    ]
    for attack in attacks:
        target.write_bytes(pickle.dumps([{"id": 0, "logits_options": attack}], protocol=protocol))
        with pytest.raises(InvalidInput, match="the pickle is refused: it wants to load") as caught:
            load_labels(bench)
        assert str(target) in str(caught.value)
        assert not trace.exists()


def test_names_below_an_allowed_class_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dotted.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.")
    with pytest.raises(InvalidInput, match=r"it wants to load numpy\.ndarray\.tofile"):
        read_option_logits(path)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_arrays_of_numpy_1_and_2_are_read(tmp_path: Path, module: str) -> None:
    array = np.arange(6, dtype=np.float32)
    path = tmp_path / "logits.pkl"
    content = pickle.dumps([{"id": 3, "logits_options": array}], protocol=3)
    path.write_bytes(content.replace(b"numpy._core.multiarray", module.encode()))
    ids, logits = read_option_logits(path)
    assert ids.tolist() == [3]
    np.testing.assert_array_equal(logits[0], array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the pickle is refused"),
        (b"\x80\x04not a pickle", "the pickle is refused"),
        (pickle.dumps({"id": 1}), "not hold a list of records"),
        (pickle.dumps([]), "not hold a list of records"),
        (pickle.dumps([{"id": 1}]), "row 1: the record is not an id with six option logits"),
        (pickle.dumps([{"id": 0, "logits_options": np.zeros(6)}, {"id": 1, "logits_options": np.zeros(5)}]), "row 2"),
        (pickle.dumps([{"id": 0, "logits_options": np.full(6, np.nan)}]), "row 1.*not finite"),
    ],
)
def test_corrupt_outputs_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m_t_task_icl1.pkl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as caught:
        read_option_logits(path)
    assert str(path) in str(caught.value)


def test_faults_of_the_questions_are_named(bench: Path) -> None:
    path = bench / "data" / "talk.json"
    faults = {
        "answer": ({"answer": "G"}, "row 3: the answer 'G' is not one of A, B, C, D, E, F"),
        "keys": ({"id": "2"}, "row 3: the id is not an integer"),
        "twice": ({"id": 1}, "row 3: the id occurs twice"),
        "choices": ({"choices": ["Yes"]}, "row 3: the choices do not map letters to texts"),
    }
    for change, message in faults.values():
        rows = questions("talk")
        rows[2] |= change
        path.write_text(json.dumps(rows))
        with pytest.raises(InvalidInput, match=message):
            load_labels(bench)
    for content, message in (
        ("[]", "no list of questions"),
        ("{", "not valid JSON"),
        ("[{}]", "row 1: a question needs"),
    ):
        path.write_text(content)
        with pytest.raises(InvalidInput, match=message):
            load_labels(bench)
    path.write_text(json.dumps(questions("talk")[1:]))
    with pytest.raises(InvalidInput, match="its ids are not those of"):
        load_labels(bench)


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="the folder has no part files"):
        load_labels(tmp_path)


@pytest.mark.slow
def test_the_real_emotion_outputs_give_the_recorded_labels(real_data: Path) -> None:
    folder = real_data / "llm_uncertainty_bench_emotion"
    labels = load_labels(folder)
    recorded = pq.read_table(folder / "derived_task_icl1_success.parquet").to_pandas()
    recorded = recorded[~recorded["excluded_fewshot"].astype(bool)]
    assert len(labels) == 9_995
    assert labels.instruction.tolist() == recorded["prompt"].str.strip().tolist()
    for k, model in enumerate(labels.models):
        np.testing.assert_array_equal(labels.success[:, k], recorded[model], err_msg=model)
