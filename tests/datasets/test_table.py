from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import LabelledInstructions, load_labels
from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.classifier.training_texts import distinct_texts, training_texts

WIDE = {
    "instruction_id": ["007", "008", "009"],
    "instruction": ["first, with a comma", 'second with a "quote"', "third\nwith a line break"],
    "task": ["t", "t", "u"],
    "small": [1, 0, 0.5],
    "org/large": [1, 1, 0],
    "small|cost": [0.001, 0.002, 0],
    "org/large|cost": [0.1, 0.2, 0.3],
}


def write(table: dict[str, list], path: Path) -> Path:
    arrow = pa.table(table)
    match path.suffix:
        case ".parquet":
            pq.write_table(arrow, path)
        case ".csv":
            pacsv.write_csv(arrow, path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in arrow.to_pylist()), encoding="utf-8")
    return path


def text_file(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_wide_table_of_every_file_type(tmp_path: Path, suffix: str) -> None:
    labels = load_labels(write(WIDE, tmp_path / f"mine{suffix}"))
    assert labels.name == "mine"
    assert labels.models == ("small", "org/large")
    assert labels.instruction_id.tolist() == ["007", "008", "009"]
    assert labels.instruction.tolist() == WIDE["instruction"]
    assert labels.task.tolist() == ["t", "t", "u"]
    assert labels.group is None
    assert not labels.simulated
    np.testing.assert_array_equal(labels.success, np.array([[1, 1], [0, 1], [0.5, 0]], dtype=np.float32))
    np.testing.assert_array_equal(labels.cost, [[0.001, 0.1], [0.002, 0.2], [0, 0.3]])


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_long_table_of_every_file_type_leaves_unnamed_pairs_unlabelled(tmp_path: Path, suffix: str) -> None:
    table = {
        "instruction_id": ["1", "1", "2"],
        "instruction": ["one", "one", "two"],
        "model": ["b", "a", "a"],
        "success": [1, 0.25, 0],
        "cost": [0.5, 0.1, 0.2],
        "output_tokens": [10, 20, 30],
    }
    labels = load_labels(write(table, tmp_path / f"long{suffix}"))
    assert labels.models == ("b", "a")
    np.testing.assert_array_equal(labels.success, np.array([[1, 0.25], [np.nan, 0]], dtype=np.float32))
    np.testing.assert_array_equal(labels.cost, [[0.5, 0.1], [np.nan, 0.2]])
    np.testing.assert_array_equal(labels.output_tokens, [[10, 20], [np.nan, 30]])
    assert labels.input_tokens is None


def test_integer_ids_booleans_and_a_byte_order_mark_work(tmp_path: Path) -> None:
    path = text_file(tmp_path / "l.csv", b"\xef\xbb\xbfinstruction_id,instruction,m\r\n1,one,True\r\n2,two,false\r\n")
    assert load_labels(path).success.ravel().tolist() == [1, 0]
    path = write({"instruction_id": [1, 2], "instruction": ["a", "b"], "m": [True, False]}, tmp_path / "l.parquet")
    labels = load_labels(path)
    assert labels.instruction_id.tolist() == ["1", "2"]
    assert labels.success.ravel().tolist() == [1, 0]


def test_dictionary_and_large_strings_are_text(tmp_path: Path) -> None:
    table = {
        "instruction_id": pa.array(["1", "2"]).dictionary_encode(),
        "instruction": pa.array(["a", "b"], pa.large_string()),
        "m": pa.array([1, 0], pa.int8()),
    }
    assert load_labels(write(table, tmp_path / "l.parquet")).instruction.tolist() == ["a", "b"]


def test_missing_success_may_be_allowed(tmp_path: Path) -> None:
    path = write(WIDE | {"small": [1, None, 0]}, tmp_path / "l.csv")
    with pytest.raises(InvalidInput, match=r"l\.csv, row 3, column 'small': success is missing.*allow_missing=True"):
        load_labels(path)
    assert np.isnan(load_labels(path, allow_missing=True).success[1, 0])


def test_a_column_that_is_no_model_must_be_named(tmp_path: Path) -> None:
    path = write(WIDE | {"notes": ["x", "y", "z"]}, tmp_path / "l.csv")
    with pytest.raises(InvalidInput, match=r"row 2, column 'notes': 'x' is not a number.*ignore_columns=\['notes'\]"):
        load_labels(path)
    assert load_labels(path, ignore_columns=["notes"]).models == ("small", "org/large")
    with pytest.raises(InvalidInput, match=r"column 'nots'.*Correct ignore_columns"):
        load_labels(path, ignore_columns=["nots"])


def test_a_long_table_whose_success_has_another_name_is_not_taken_for_a_wide_one(tmp_path: Path) -> None:
    renamed = {"score" if name == "success" else name: values for name, values in LONG.items()}
    with pytest.raises(InvalidInput, match=r"a column 'model' but no column 'success'.*Name the column that holds"):
        load_labels(write(renamed, tmp_path / "l.csv"))


def test_total_cost_is_another_name_of_cost(tmp_path: Path) -> None:
    table = {"instruction_id": ["1"], "instruction": ["a"], "m": [1], "m|total_cost": [0.25]}
    assert load_labels(write(table, tmp_path / "l.csv")).cost.tolist() == [[0.25]]
    with pytest.raises(InvalidInput, match=r"already given by 'm\|total_cost'"):
        load_labels(write(table | {"m|cost": [0.3]}, tmp_path / "l.csv"))


# (change to the wide table, what the message must say). CSV rows count the header, so the second record is row 3.
WIDE_FAULTS = {
    "duplicate id": (
        {"instruction_id": ["1", "2", "1"]},
        r"row 4, column 'instruction_id': '1' is already in row 2",
    ),
    "success above 1": ({"small": [1, 2, 0]}, r"row 3, column 'small': success is 2, outside \[0, 1\]"),
    "success below 0": ({"small": [1, -1, 0]}, r"row 3, column 'small': success is -1"),
    "success is a word": ({"small": ["1", "nearly", "0"]}, r"row 3, column 'small': 'nearly' is not a number"),
    "success is infinite": ({"small": ["1", "inf", "0"]}, r"row 3, column 'small': success is inf"),
    "empty text": ({"instruction": ["a", "", "c"]}, r"row 3, column 'instruction': the text is empty.*Fill the cell"),
    "whitespace text": ({"instruction": ["a", "b", " \t\n "]}, r"row 4, column 'instruction': the text is empty"),
    "unicode whitespace text": ({"instruction": ["a", "\u00a0\u2003", "c"]}, r"row 3, column 'instruction'"),
    "missing id": ({"instruction_id": ["1", None, "3"]}, r"row 3, column 'instruction_id': the text is empty"),
    "empty task": ({"task": ["", "t", "t"]}, r"row 2, column 'task': the text is empty"),
    "negative cost": ({"small|cost": [0.1, 0.1, -0.1]}, r"row 4, column 'small\|cost': the cost in USD is -0.1"),
    "cost is a word": ({"small|cost": ["0.1", "free", "0"]}, r"row 3, column 'small\|cost': 'free' is not a number"),
    "cost without model": ({"other|cost": [1, 1, 1]}, r"column 'other\|cost': there is no success column.*'other'"),
}


@pytest.mark.parametrize("fault", WIDE_FAULTS)
def test_faults_of_a_wide_table_name_file_row_and_column(tmp_path: Path, fault: str) -> None:
    change, message = WIDE_FAULTS[fault]
    path = write(WIDE | change, tmp_path / "labels.csv")
    with pytest.raises(InvalidInput, match=message) as caught:
        load_labels(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_rows_of_parquet_and_jsonl_count_from_one(tmp_path: Path) -> None:
    for suffix in (".parquet", ".jsonl"):
        with pytest.raises(InvalidInput, match="row 2, column 'small'"):
            load_labels(write(WIDE | {"small": [1, 7, 0]}, tmp_path / f"l{suffix}"))


LONG = {
    "instruction_id": ["1", "1", "2"],
    "instruction": ["a", "a", "b"],
    "model": ["m", "n", "m"],
    "success": [1, 0, 1],
}
LONG_FAULTS = {
    "two texts": ({"instruction": ["a", "z", "b"]}, r"row 3, column 'instruction': .*another instruction in row 2"),
    "null success": ({"success": [1, None, 1]}, r"row 3, column 'success': success is missing"),
    "success is a word": ({"success": ["1", "ok", "0"]}, r"row 3, column 'success': 'ok' is not a number"),
    "unknown column": ({"extra": [1, 2, 3]}, r"column 'extra': .*not part of a long label table"),
    "empty model": ({"model": ["m", " ", "m"]}, r"row 3, column 'model'"),
    "negative cost": ({"cost": [0, -1, 0]}, r"row 3, column 'cost': the cost in USD is -1"),
}


@pytest.mark.parametrize("fault", LONG_FAULTS)
def test_faults_of_a_long_table_name_row_and_column(tmp_path: Path, fault: str) -> None:
    change, message = LONG_FAULTS[fault]
    with pytest.raises(InvalidInput, match=message) as caught:
        load_labels(write(LONG | change, tmp_path / "labels.csv"))
    assert caught.value.remedy


FILE_FAULTS = {
    "latin.csv": ("instruction_id,instruction,m\n1,caf\xe9,1\n".encode("latin-1"), "row 2: byte 0xe9 is not UTF-8"),
    "latin.jsonl": (b'{"instruction_id": "1"}\n{"instruction": "caf\xe9"}\n', "row 2: byte 0xe9 is not UTF-8"),
    "no_rows.csv": ("instruction_id,instruction,m\n", "has no rows"),
    "header_only.csv": ("instruction_id,instruction,m", "has no rows"),
    "empty.csv": ("", "has no rows"),
    "empty.jsonl": ("\n", "has no rows"),
    "no_model.csv": ("instruction_id,instruction\n1,a\n", "no model column"),
    "no_column.csv": ("id,instruction,m\n1,a,1\n", "column 'instruction_id': the required column is missing.*'id'"),
    "mixed.csv": ("instruction_id;instruction;m\n1,a,1\n", "Expected 3 columns, got 1.*separated by semicolons"),
    "twice.csv": ("instruction_id,instruction,m,m\n1,a,1,1\n", "column 'm': the column name occurs twice"),
    "twice.jsonl": ('{"instruction_id": 1, "instruction_id": 2}\n', "row 1: .*a key occurs twice"),
    "ragged.csv": ("instruction_id,instruction,m\n1,a,1\n2,b, c,1\n", "not a well-formed CSV.*Row #3"),
    "open_quote.csv": ('instruction_id,instruction,m\n1,"a,1\n', "a double quote is never closed"),
    "broken.jsonl": ('{"instruction_id": "1"}\n{"instruc', "row 2: the line is not valid JSON"),
    "list.jsonl": ("[1]\n", "row 1: the line holds a JSON int"),
    "half.jsonl": ('{"instruction_id": "1", "instruction": "\\ud83d", "m": 1}\n', "row 1: .*surrogate"),
    "corrupt.parquet": (b"PAR1 but not really", "not a readable Parquet file"),
    "labels.xlsx": (b"PK", r"not installed.*routing_assets\[excel\]|not a readable Excel file"),
    "labels": (b"", "file type '' is not supported"),
}


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_unreadable_files_are_named_with_a_remedy(tmp_path: Path, name: str) -> None:
    content, message = FILE_FAULTS[name]
    path = text_file(tmp_path / name, content)
    with pytest.raises(InvalidInput, match=message) as caught:
        load_labels(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_an_absent_file_and_an_unknown_format_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"absent\.csv: there is no such file"):
        load_labels(tmp_path / "absent.csv")
    with pytest.raises(InvalidInput, match=r"'excel'.*routerbench"):
        load_labels(tmp_path / "l.csv", format="excel")


def test_a_model_without_any_label_is_refused(tmp_path: Path) -> None:
    path = write(WIDE | {"small": pa.array([None] * 3, pa.float64())}, tmp_path / "l.parquet")
    with pytest.raises(InvalidInput, match="column 'small': the model has no success value at all"):
        load_labels(path, allow_missing=True)


def test_mixed_json_types_are_reported_where_they_stand(tmp_path: Path) -> None:
    rows = [{"instruction_id": 1, "instruction": "a", "m": 1}, {"instruction_id": "x", "instruction": "b", "m": "bad"}]
    path = text_file(tmp_path / "l.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InvalidInput, match="row 2, column 'm': 'bad' is not a number"):
        load_labels(path)


def test_the_row_numbers_of_a_sampled_pandas_frame_are_no_model(tmp_path: Path) -> None:
    frame = pa.table(WIDE).to_pandas()
    frame.iloc[[2, 0, 1]].to_parquet(tmp_path / "l.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "l.parquet").names
    assert load_labels(tmp_path / "l.parquet").models == ("small", "org/large")


def test_words_and_percentages_say_success(tmp_path: Path) -> None:
    success = ["C", "pass", " TRUE", "85%", "0.5", "I", "failed", "No", "0 %", "incorrect"]
    ids = [str(i) for i in range(10)]
    path = write({"instruction_id": ids, "instruction": ids, "m": success}, tmp_path / "l.csv")
    expected = [1, 1, 1, 0.85, 0.5, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(load_labels(path).success[:, 0], expected)


def test_points_are_read_by_their_greatest_value(tmp_path: Path) -> None:
    path = write({"instruction_id": ["1", "2"], "instruction": ["a", "b"], "m": [100, 40]}, tmp_path / "l.csv")
    with pytest.raises(InvalidInput, match=r"success is 100, outside \[0, 1\].*--success-scale 100"):
        load_labels(path)
    np.testing.assert_allclose(load_labels(path, success_scale=100).success[:, 0], [1, 0.4])


def test_repeated_trials_are_averaged_and_counted(tmp_path: Path) -> None:
    trials = {
        "instruction_id": ["1"] * 5 + ["2", "1"],
        "instruction": ["a"] * 5 + ["b", "a"],
        "model": ["m"] * 6 + ["n"],
        "success": [1, 0, 1, 1, 0, 1, 0],
        "cost": [0.1, 0.3, 0.2, 0.2, 0.2, 0.5, 0.1],
    }
    labels = load_labels(write(trials, tmp_path / "l.csv"))
    np.testing.assert_allclose(labels.success, [[0.6, 0], [1, np.nan]])
    np.testing.assert_allclose(labels.cost, [[0.2, 0.1], [0.5, np.nan]])
    assert labels.calls.tolist() == [[5, 1], [1, 0]]
    again = LabelledInstructions.from_arrow(labels.to_arrow())
    assert again.calls.tolist() == labels.calls.tolist()
    assert again.content_hash == labels.content_hash


def test_trials_weigh_as_so_many_rows_of_the_text() -> None:
    rows = LabelledInstructions(
        "rows", ("m",), np.array(["1", "2", "3", "4"]), np.array(["a", "a", "a", "b"]), np.array([[1.0], [0], [1], [0]])
    )
    counted = LabelledInstructions(
        "counted",
        ("m",),
        np.array(["1", "4"]),
        np.array(["a", "b"]),
        np.array([[2 / 3], [0]]),
        trials=np.array([[3.0], [np.nan]]),
    )
    of_rows, of_counts = (
        training_texts(labels, *distinct_texts(labels, len(labels)), len(labels), seed=0) for labels in (rows, counted)
    )
    np.testing.assert_allclose(of_counts.weight, of_rows.weight)
    np.testing.assert_allclose(of_counts.success, of_rows.success, rtol=1e-6)


MAPPED = {"Prompt": ["a", "a", "b"], "llm": ["m", "n", "m"], "grade": ["C", "I", "C"], "note": ["x", "y", "z"]}


def test_columns_are_mapped_and_ids_made(tmp_path: Path) -> None:
    path = write(MAPPED, tmp_path / "l.csv")
    columns = {"instruction": "Prompt", "model": "llm", "success": "grade"}
    labels = load_labels(path, columns=columns, made_ids="text")
    assert labels.models == ("m", "n")
    assert labels.instruction.tolist() == ["a", "b"]
    assert len(set(labels.instruction_id)) == 2
    np.testing.assert_allclose(labels.success, [[1, 0], [1, np.nan]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "column 'instruction_id': the required column is missing.*--make-ids position"),
        ({"made_ids": "text"}, "no column of texts. If the column 'Prompt' holds it, add --text-column Prompt"),
        ({"columns": {"instruction": "prompt"}}, "there is no column 'prompt'; the file has 'Prompt'.*--text-column"),
        ({"columns": {"instruction": "Prompt"}, "made_ids": "lines"}, "ids cannot be made from 'lines'"),
    ],
)
def test_a_column_that_is_missing_is_named_with_the_option_that_maps_it(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_labels(write(MAPPED, tmp_path / "l.csv"), **options)


SIGNALS = WIDE | {
    "small|agreement": [0.2, None, 1.0],
    "org/large|agreement": [1.0, 1.0, 0.4],
    "small|answer": ["A", "b ", None],
    "org/large|answer": ["A", "B", "C"],
}


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_signals_of_the_answers_are_read_beside_the_models(tmp_path, suffix):
    labels = load_labels(write(SIGNALS, tmp_path / f"labels.{suffix}"))
    assert labels.models == ("small", "org/large")
    np.testing.assert_array_equal(labels.signals["agreement"], [[0.2, 1.0], [np.nan, 1.0], [1.0, 0.4]])
    assert labels.signals["answer"].tolist() == [["A", "A"], ["b", "B"], [None, "C"]]
    again = LabelledInstructions.from_arrow(labels.to_arrow())
    assert again.content_hash == labels.content_hash != labels.without_signals().content_hash
    assert again.take([1]).of_models(["org/large"]).signals["answer"].tolist() == [["B"]]
    assert labels.without_signals().content_hash == load_labels(write(WIDE, tmp_path / "plain.parquet")).content_hash


def test_a_signal_of_ones_own_name_is_read_when_it_is_named(tmp_path):
    table = WIDE | {"small|tests_passed": ["3", "1", "0"], "org/large|tests_passed": ["5", "", "2"]}
    labels = load_labels(write(table, tmp_path / "labels.csv"), signals=["tests_passed"])
    np.testing.assert_array_equal(labels.signals["tests_passed"], [[3, 5], [1, np.nan], [0, 2]])


def test_a_number_signal_that_is_no_number_is_named(tmp_path):
    table = SIGNALS | {"small|agreement": ["0.2", "often", "1"]}
    with pytest.raises(InvalidInput, match="'often' is not a number") as error:
        load_labels(write(table, tmp_path / "labels.csv"))
    assert error.value.column == "small|agreement"


def test_a_long_table_has_signals_as_columns(tmp_path):
    table = {
        "instruction_id": ["a", "a", "b"],
        "instruction": ["x", "x", "y"],
        "model": ["s", "l", "s"],
        "success": [1, 0, 1],
        "agreement": [0.5, 0.75, 1.0],
        "finish_reason": ["stop", "length", "stop"],
    }
    labels = load_labels(write(table, tmp_path / "labels.csv"))
    np.testing.assert_array_equal(labels.signals["agreement"], [[0.5, 0.75], [1.0, np.nan]])
    assert labels.signals["finish_reason"].tolist() == [["stop", "length"], ["stop", None]]


def test_missing_numbers_are_spelt_as_people_spell_them(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    spelt = ["NA", "N/A", "None", "null", "NaN", "-", "<NA>", " "]
    rows = [f"{n},text {n},1,{cell},{cell}" for n, cell in enumerate(spelt)]
    path.write_text("\n".join(["instruction_id,instruction,a,b,a|cost", "x,text,0,1,0.1", *rows]) + "\n")
    labels = load_labels(path, allow_missing=True)
    np.testing.assert_equal(labels.success[:, 1], [1] + [np.nan] * len(spelt))
    assert labels.cost is not None
    np.testing.assert_equal(labels.cost[:, 0], [0.1] + [np.nan] * len(spelt))
    with pytest.raises(InvalidInput, match="row 3, column 'b': success is missing"):
        load_labels(path)


def test_a_dot_among_decimal_commas_may_be_thousands(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("instruction_id;instruction;a;a|cost\n1;One?;1;0,5\n2;Two?;85,5 %;1.234\n")
    with pytest.raises(InvalidInput, match=r"row 3, column 'a\|cost': '1.234' may be thousands or a fraction"):
        load_labels(path)
    path.write_text(path.read_text().replace("1.234", "0,12"))
    assert load_labels(path).success[1, 0] == pytest.approx(0.855)


def test_ids_may_be_the_whole_numbers_of_a_database(tmp_path: Path) -> None:
    ids = pa.array([Decimal(7), Decimal(8)], pa.decimal128(38, 0))
    pq.write_table(pa.table({"instruction_id": ids, "instruction": ["a", "b"], "m": [1, 0]}), tmp_path / "l.parquet")
    assert load_labels(tmp_path / "l.parquet").instruction_id.tolist() == ["7", "8"]


@pytest.mark.parametrize("name", ["small_cost", "large.output_tokens", "Mean latency"])
def test_an_amount_is_not_taken_for_a_model(tmp_path: Path, name: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"instruction_id,instruction,small,{name}\n1,a,1,0.1\n2,b,0,0.2\n")
    with pytest.raises(InvalidInput, match=f"column '{name}'.*not the success of a model.*--ignore-column"):
        load_labels(path)
    assert load_labels(path, ignore_columns=[name]).models == ("small",)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_an_index_that_pandas_wrote_is_no_model(tmp_path: Path, name: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"{name},instruction_id,instruction,small\n0,1,a,1\n1,2,b,0\n")
    assert load_labels(path).models == ("small",)


def test_all_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("task_id,prompt,Model,passed\n1,a,small,True\n")
    with pytest.raises(
        InvalidInput, match=r"--id-column task_id.*--text-column prompt.*--model-column Model.*--success"
    ):
        load_labels(path)


@pytest.mark.parametrize(
    "document",
    [
        {"instruction_id": {"0": "1", "1": "2"}, "instruction": {"0": "a", "1": "b"}},
        {"columns": ["instruction_id", "instruction"], "index": [0], "data": [["1", "a"]]},
    ],
)
def test_json_by_columns_is_refused_with_the_remedy(tmp_path: Path, document: object) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match=r"as pandas writes it.*orient='records', lines=True"):
        load_labels(path)
