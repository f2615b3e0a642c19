from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import load_labels
from routing_assets.datasets.routerbench import unwrap_prompt
from routing_assets.foundation.errors import InvalidInput

TABLE = {
    "sample_id": ["arc.1", "mbpp.2"],
    "prompt": ["['What is 1 + 1?']", '["first turn", "second turn"]'],
    "eval_name": ["arc-challenge", "mbpp"],
    "org/m1": [1.0, 0.0],
    "m2": ["0.25", "1"],
    "org/m1|model_response": ["['2']", "['x']"],
    "m2|model_response": ["['3']", "['y']"],
    "org/m1|total_cost": [0.001, 0.002],
    "m2|total_cost": [0.1, 0.2],
    "oracle_model_to_route_to": ["org/m1", "m2"],
}


def write(path: Path, **changes: list) -> Path:
    pq.write_table(pa.table(TABLE | changes), path)
    return path


def test_the_original_layout_is_recognised_and_read(tmp_path: Path) -> None:
    labels = load_labels(write(tmp_path / "bench.parquet"))
    assert labels.models == ("org/m1", "m2")
    assert labels.instruction_id.tolist() == ["arc.1", "mbpp.2"]
    assert labels.instruction.tolist() == ["What is 1 + 1?", "first turn\n\nsecond turn"]
    assert labels.task.tolist() == ["arc-challenge", "mbpp"]
    np.testing.assert_array_equal(labels.success, np.array([[1, 0.25], [0, 1]], dtype=np.float32))
    np.testing.assert_array_equal(labels.cost, [[0.001, 0.1], [0.002, 0.2]])


@pytest.mark.parametrize("prompt", ["plain", "[1, 2]", "[not a list]", "['a', 2]", "[]", "['open", "x['a']"])
def test_a_prompt_that_is_no_list_of_texts_stays_as_it_is(prompt: str) -> None:
    assert unwrap_prompt(prompt) == prompt


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_id": ["x", "x"]}, "row 2, column 'sample_id': 'x' is already in row 1"),
        ({"m2": [None, 1]}, "row 1, column 'm2': success is missing"),
        ({"m2": [1, 3]}, "row 2, column 'm2': success is 3"),
        ({"m2|total_cost": [0.1, -0.2]}, r"row 2, column 'm2\|total_cost': the cost in USD is -0.2"),
        ({"prompt": [" ", "b"]}, "row 1, column 'prompt': the text is empty"),
        ({"subject": ["a", "b"]}, r"column 'subject': .*ignore_columns=\['subject'\]"),
        ({"m3|total_cost": [0.1, 0.2]}, "column 'm3': the required column is missing"),
    ],
)
def test_faults_name_row_and_column(tmp_path: Path, changes: dict[str, list], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_labels(write(tmp_path / "bench.parquet", **changes))


def test_unknown_columns_may_be_ignored_knowingly(tmp_path: Path) -> None:
    path = write(tmp_path / "bench.parquet", subject=["a", "b"])
    assert len(load_labels(path, ignore_columns=["subject"])) == 2


def test_a_table_without_costs_is_sent_to_the_table_format(tmp_path: Path) -> None:
    path = tmp_path / "bench.parquet"
    pq.write_table(pa.table({name: TABLE[name] for name in ("sample_id", "prompt", "eval_name", "m2")}), path)
    with pytest.raises(InvalidInput, match="format='table'"):
        load_labels(path, format="routerbench")


def test_the_real_subset_is_read_whole(real_data: Path) -> None:
    path = real_data / "routerbench_subset.parquet"
    labels = load_labels(path)
    raw = pq.read_table(path)
    assert (len(labels), len(labels.models)) == (3_164, 11)
    assert dict(zip(*np.unique(labels.task, return_counts=True), strict=True)) == {
        "arc-challenge": 1_470,
        "mbpp": 427,
        "winogrande": 1_267,
    }
    gpt4 = labels.models.index("gpt-4-1106-preview")
    assert labels.success[:, gpt4].mean() == pytest.approx(0.8799, abs=5e-5)
    assert labels.cost[:, gpt4].mean() * 1000 == pytest.approx(5.0150, abs=5e-5)
    np.testing.assert_array_equal(labels.cost[:, gpt4], raw["gpt-4-1106-preview|total_cost"].to_numpy())
    assert labels.instruction.tolist() == raw["prompt"].to_pylist()
