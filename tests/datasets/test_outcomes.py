from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets import Outcomes, load_outcomes, match_outcomes, merge_outcomes
from routing_assets.datasets.outcomes import named, require_usable, strays
from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring.realised import realised

COLUMNS = {
    "instruction_id": ["1", "2"],
    "model": ["large", "small"],
    "success": [1.0, 0.0],
    "cost": [0.02, None],
    "latency_s": [1.5, 0.2],
}


def write(path: Path, columns: dict[str, list]) -> Path:
    table = pa.table(columns)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        rows = [",".join(table.column_names)]
        rows += [",".join("" if v is None else str(v) for v in row.values()) for row in table.to_pylist()]
        path.write_text("\n".join(rows) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path


def load(tmp_path: Path, **columns: list) -> Outcomes:
    return load_outcomes(write(tmp_path / "outcomes.parquet", columns))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_every_file_type_reads_alike(tmp_path: Path, suffix: str) -> None:
    outcomes = load_outcomes(write(tmp_path / f"outcomes{suffix}", COLUMNS))
    assert outcomes.instruction_id.tolist() == ["1", "2"]
    assert outcomes.model.tolist() == ["large", "small"]
    np.testing.assert_array_equal(outcomes.success, [1, 0])
    np.testing.assert_array_equal(outcomes.cost, [0.02, np.nan])
    np.testing.assert_array_equal(outcomes.latency_s, [1.5, 0.2])
    assert np.isnan(outcomes.tokens).all()
    assert outcomes.to_arrow()["cost"].null_count == 1


def test_a_file_may_know_bills_only(tmp_path: Path) -> None:
    bills = load(tmp_path, instruction_id=["1"], model=["m"], cost=[0.5], tokens=[100])
    assert np.isnan(bills.success[0])
    assert (bills.cost[0], bills.tokens[0]) == (0.5, 100)


FAULTS = {
    "no verdict": ({"instruction_id": ["1"], "model": ["m"]}, "column 'success': the required column is missing"),
    "no model": ({"instruction_id": ["1"], "success": [1]}, "column 'model': the required column is missing"),
    "range": (
        {"instruction_id": ["1", "2"], "model": ["m", "m"], "success": [1, 1.5]},
        "row 2, column 'success': success is 1.5",
    ),
    "cost": (
        {"instruction_id": ["1"], "model": ["m"], "success": [1], "cost": [-1.0]},
        "row 1, column 'cost': the cost in USD is -1",
    ),
    "latency": (
        {"instruction_id": ["1"], "model": ["m"], "success": [1], "latency_s": ["fast"]},
        "row 1, column 'latency_s': 'fast' is not a number",
    ),
    "blank": (
        {"instruction_id": ["1", " "], "model": ["m", "m"], "success": [1, 1]},
        "row 2, column 'instruction_id': the text is empty",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_row_and_column(tmp_path: Path, fault: str) -> None:
    columns, message = FAULTS[fault]
    with pytest.raises(InvalidInput, match=f"outcomes.parquet.*{message}") as caught:
        load(tmp_path, **columns)
    assert caught.value.remedy


def test_later_rows_win_field_by_field_and_conflicts_are_counted(tmp_path: Path) -> None:
    outcomes = load(
        tmp_path,
        instruction_id=["1", "2", "1", "1"],
        model=["m", "m", "m", "n"],
        success=[1.0, 1.0, 0.0, 1.0],
        cost=[0.1, None, None, 0.3],
    )
    assert len(outcomes) == 3
    assert outcomes.success.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(outcomes.cost, [0.1, np.nan, 0.3])
    assert outcomes.conflicts == 1


def test_late_and_repeated_files_merge(tmp_path: Path) -> None:
    first = load(tmp_path, instruction_id=["1", "2"], model=["m", "m"], success=[1.0, None], cost=[None, 0.2])
    late = load(
        tmp_path, instruction_id=["3", "2", "1"], model=["m"] * 3, success=[0.0, 1.0, None], cost=[0.1, None, 0.3]
    )
    merged = merge_outcomes(first, late)
    assert merged.instruction_id.tolist() == ["1", "2", "3"]
    assert merged.success.tolist() == [1, 1, 0]
    assert merged.cost.tolist() == [0.3, 0.2, 0.1]
    assert merged.conflicts == 0
    again = merge_outcomes(merged, first, late)
    assert again.to_arrow().equals(merged.to_arrow())
    contradicting = load(tmp_path, instruction_id=["1"], model=["m"], success=[0.0])
    twice = merge_outcomes(merged, contradicting)
    assert twice.conflicts == 1
    assert merge_outcomes(twice, merged).conflicts == 1  # pairs, not contradictions
    assert merge_outcomes(merged, contradicting).success[0] == 0
    assert merge_outcomes(contradicting, merged).success[0] == 1


def routed(n: int = 4, predicted: float = 0.5) -> pa.Table:
    return pa.table(
        {
            "instruction_id": [str(i) for i in range(n)],
            "model": pa.array(["m"] * n).dictionary_encode(),
            "expected_success": pa.array([predicted] * n, pa.float32()),
            "cost": [0.1] * n,
        }
    )


def test_outcomes_that_are_missing_or_match_no_row_are_counted(tmp_path: Path) -> None:
    outcomes = load(
        tmp_path,
        instruction_id=["2", "0", "1", "0", "99"],
        model=["m", "m", "m", "other", "m"],
        success=[0.0, 1.0, None, 1.0, 1.0],
        cost=[0.3, None, 0.1, 9.0, 9.0],
    )
    table, strays = match_outcomes(routed(), outcomes)
    assert table["success"].to_pylist() == [1, None, 0, None]
    assert table["billed_usd"].to_pylist() == [None, 0.1, 0.3, None]
    result = realised(routed(), outcomes)
    assert (result.instructions, result.judged, result.billed, result.strays) == (4, 2, 2, 2) == (4, 2, 2, strays)
    assert (result.predicted_success, result.realised_success) == (0.5, 0.5)
    assert result.realised_usd == pytest.approx(0.4)
    assert result.estimated_usd == pytest.approx(0.2)
    assert result.cost_ratio == pytest.approx(2.0)
    assert result.expected_total_usd == pytest.approx(0.4 + 2 * 0.1 * 2)


def test_a_batch_without_known_outcomes_has_the_widest_interval(tmp_path: Path) -> None:
    stray = load(tmp_path, instruction_id=["99"], model=["m"], success=[1.0])
    result = realised(routed(), stray)
    assert (result.judged, result.billed) == (0, 0)
    assert math.isnan(result.realised_success)
    assert (result.success_interval.low, result.success_interval.high) == (0, 1)
    assert math.isnan(result.cost_ratio)
    assert result.expected_total_usd == pytest.approx(0.4)


def test_outcomes_that_tell_nothing_of_the_batch_are_refused_and_some_are_named(tmp_path: Path) -> None:
    foreign = load(tmp_path, instruction_id=["99", "1"], model=["m", "other"], success=[1.0, 1.0])
    with pytest.raises(InvalidInput, match="'99' by 'm', '1' by 'other'") as caught:
        require_usable(routed(), foreign)
    assert caught.value.remedy
    empty = load(tmp_path, instruction_id=["99", "1"], model=["m", "m"], success=[1.0, None])
    with pytest.raises(InvalidInput, match="has a success or a cost"):
        require_usable(routed(), empty)
    require_usable(routed(), load(tmp_path, instruction_id=["1"], model=["m"], cost=[0.1]))


def test_strays_are_listed_and_a_few_of_them_named(tmp_path: Path) -> None:
    outcomes = load(tmp_path, instruction_id=list("123456"), model=["m", "x", "m", "x", "m", "y"], success=[1.0] * 6)
    found = strays(routed(), outcomes)
    assert found == [("2", "x"), ("4", "x"), ("5", "m"), ("6", "y")]
    assert named(found) == "'2' by 'x', '4' by 'x', '5' by 'm', ..."


def test_columns_that_are_not_used_are_known(tmp_path: Path) -> None:
    assert load(tmp_path, instruction_id=["1"], model=["m"], cost=[0.5], succes=[1.0]).unused == ("succes",)


def test_cached_tokens_are_part_of_the_input(tmp_path: Path) -> None:
    bill = {"instruction_id": ["1"], "model": ["m"], "input_tokens": [100], "output_tokens": [5]}
    read = load(tmp_path, **bill, cached_tokens=[60], reasoning_tokens=[5])
    assert read.cached_tokens is not None
    assert read.cached_tokens.tolist() == [60]
    assert read.unused == ()
    with pytest.raises(InvalidInput, match="cached_tokens 101 is greater than input_tokens 100, of which it is a part"):
        load(tmp_path, **bill, cached_tokens=[101])
    with pytest.raises(InvalidInput, match="reasoning_tokens 6 is greater than output_tokens 5"):
        load(tmp_path, **bill, reasoning_tokens=[6])


def test_intervals_hold_the_truth_nineteen_times_in_twenty(tmp_path: Path) -> None:
    rng, n = np.random.default_rng(0), 200
    held = {"rate": 0, "gap": 0, "ratio": 0}
    ids = np.array([str(i) for i in range(n)], dtype=object)
    unknown = np.full(n, np.nan)
    for _ in range(200):
        bill = 0.1 * 1.3 * rng.gamma(4, 0.25, n)
        success = (rng.random(n) < 0.8).astype(float)
        of_call = (success, bill, unknown, unknown, unknown, unknown)
        outcomes = Outcomes(ids, np.full(n, "m", object), *of_call, contradicted=np.zeros(n, bool))
        result = realised(routed(n, 0.7), outcomes)
        held["rate"] += result.success_interval.low <= 0.8 <= result.success_interval.high
        held["gap"] += result.success_gap.low <= 0.1 <= result.success_gap.high
        held["ratio"] += result.cost_ratio_interval.low <= 1.3 <= result.cost_ratio_interval.high
    assert all(180 <= count <= 198 for count in held.values()), held
