"""Allocation by sweeps decides as allocation in memory does, to the last bit, however the rows are divided."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from brute_force import best, total
from decisions import KINDS, problem_of
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.allocation import (
    POLICIES,
    Allocation,
    AllocationProblem,
    AnswerFolder,
    ArrayPart,
    InfeasibleAllocation,
    InfeasibleConstraints,
    ParquetFile,
    PartedAllocation,
    PartedProblem,
    TooManyRows,
    WidePart,
    allocate,
    allocate_parts,
)
from routing_assets.allocation.solver.order import random_keys
from routing_assets.foundation.errors import InvalidInput


@dataclass(frozen=True)
class DisorderlyEngine:
    """Works on the parts in a random order, each in a copy of its own, as on another machine."""

    seed: int

    def map(self, function: Callable[..., Any], parts: Sequence[Any], *arguments: Any) -> Iterator[Any]:
        results: dict[int, Any] = {}
        for number in np.random.default_rng(self.seed).permutation(len(parts)):
            run, part, given = pickle.loads(pickle.dumps((function, parts[number], arguments)))
            results[int(number)] = pickle.loads(pickle.dumps(run(part, *given)))
        yield from (results[number] for number in range(len(parts)))


def divided(problem: AllocationProblem, cuts: Sequence[int]) -> PartedProblem:
    """The same problem in parts that end at these rows; some may be empty."""
    ends = [0, *sorted(cuts), len(problem)]
    parts = [
        ArrayPart(
            problem.success[a:b],
            problem.cost if problem.cost.ndim == 1 else problem.cost[a:b],
            None if problem.allowed is None else problem.allowed[a:b],
        )
        for a, b in itertools.pairwise(ends)
    ]
    return PartedProblem(parts, problem.budget)


CERTIFICATE = ("policy", "status", "expected_success", "total_cost", "upper_bound", "shadow_price", "binding", "notes")


def outcome(run: Callable[[], Allocation | PartedAllocation]) -> Any:
    """The certificate and the choice, or the reason why there is none."""
    try:
        answer = run()
    except InfeasibleAllocation as error:
        return str(error)
    return [getattr(answer, name) for name in CERTIFICATE], answer.gap, answer.budget_slack, answer.choice.tolist()


def small_memory(monkeypatch: pytest.MonkeyPatch, pairs: int, sample: int) -> None:
    """Make batches of a few hundred rows as large, for the solver, as ones of a hundred million are."""
    monkeypatch.setattr("routing_assets.allocation.solver.source.MOST_PAIRS", pairs)
    monkeypatch.setattr("routing_assets.allocation.solver.source._SAMPLE_ROWS", sample)
    monkeypatch.setattr("routing_assets.allocation.ndch._LISTED", pairs)
    monkeypatch.setattr("routing_assets.allocation.parts.PART_ROWS", 1 << 10)


PROBLEMS = {
    "kind": st.sampled_from(KINDS),
    "policy": st.sampled_from(list(POLICIES)),
    "shape": st.sampled_from([(1, 1), (1, 3), (2, 2), (7, 3), (60, 1), (300, 4), (2_000, 5)]),
    "budget": st.sampled_from([0.0, 0.01, 0.2, 0.5, 0.9, 0.999, 1.0, math.inf]),
    "seed": st.integers(0, 2**31),
    "cuts": st.lists(st.floats(0, 1), max_size=9),
}


def both(
    kind: str, policy: str, shape: tuple[int, int], budget: float, seed: int, cuts: list[float], exact: bool = False
) -> None:
    problem = problem_of(kind, *shape, seed, budget)
    if problem.forbidden is not None and policy.startswith("ndch"):
        return
    parted = divided(problem, [int(cut * shape[0]) for cut in cuts])
    options = {"seed": seed % 1000, "target": (seed % 97) / 97, "exact": exact}
    whole = outcome(lambda: allocate(problem, policy, **options))
    swept = outcome(lambda: allocate_parts(parted, policy, **options, engine=DisorderlyEngine(seed)))
    assert swept == whole


@settings(max_examples=100, deadline=None, derandomize=True)
@given(**PROBLEMS, exact=st.booleans())
def test_any_division_and_any_engine_decide_as_in_memory(exact: bool, **case: Any) -> None:
    both(**case, exact=exact and case["shape"][0] <= 7)


@settings(max_examples=160, deadline=None, derandomize=True)
@given(**PROBLEMS, pairs=st.sampled_from([40, 200, 1_000]), sample=st.sampled_from([8, 32, 128]))
def test_any_division_decides_as_in_memory_where_only_few_rows_fit(pairs: int, sample: int, **case: Any) -> None:
    with pytest.MonkeyPatch.context() as patched:
        small_memory(patched, pairs, sample)
        both(**case)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(**PROBLEMS, pairs=st.sampled_from([200, 1_000]), sample=st.sampled_from([32, 128]))
def test_little_memory_costs_hardly_any_quality(pairs: int, sample: int, **case: Any) -> None:
    """The bound holds, the budget is kept, and the MIP's answer is about as good as with all rows at hand."""
    n, _ = case["shape"]
    problem = problem_of(case["kind"], *case["shape"], case["seed"], case["budget"])
    if problem.forbidden is not None and case["policy"].startswith("ndch"):
        return
    parted = divided(problem, [n // 3, n // 2])
    try:
        whole = allocate(problem, case["policy"])
    except InfeasibleAllocation:
        return
    with pytest.MonkeyPatch.context() as patched:
        small_memory(patched, pairs, sample)
        swept = allocate_parts(parted, case["policy"])
    if math.isfinite(problem.budget):
        assert total(problem.cost, tuple(swept.choice.tolist())) <= Fraction(problem.budget)
    assert swept.upper_bound >= allocate(problem).expected_success - 1e-12
    if case["policy"] == "threshold":
        assert swept.choice.tolist() == whole.choice.tolist()
    if case["policy"] == "mip":
        assert swept.expected_success >= whole.expected_success - 2.0 / n
        assert swept.gap <= max(whole.gap, 2e-6) + 2.0 / n


@pytest.mark.parametrize("policy", POLICIES)
def test_a_large_batch_in_parts_decides_as_in_memory(policy: str) -> None:
    problem = problem_of("plain", 140_000, 4, 1, 0.4)  # sampled, and more than one part in memory as well
    parted = divided(problem, [1, 1, 50_000, 131_073])
    assert outcome(lambda: allocate_parts(parted, policy)) == outcome(lambda: allocate(problem, policy))


@pytest.mark.parametrize("kind", ["tied", "flat"])
def test_more_tied_rows_than_fit_in_memory_are_decided_by_row_number(kind: str) -> None:
    rng = np.random.default_rng(3)
    n = 3_000
    success = np.tile([0.75, 0.25], (n, 1)) if kind == "tied" else rng.choice([0.25, 0.75], (n, 2))
    problem = AllocationProblem(success, np.array([2.0, 1.0]), 1.3 * n)
    with pytest.MonkeyPatch.context() as patched:
        small_memory(patched, 200, 64)
        answer = allocate_parts(divided(problem, [700, 1_800]))
    assert answer.gap <= 1e-3
    assert answer.expected_success == pytest.approx(allocate(problem).expected_success, abs=1e-3)
    assert answer.total_cost <= problem.budget


def test_identical_rows_get_a_true_bound_and_a_full_budget() -> None:
    """The sample's bracket ends exactly at the price at which all rows are tied."""
    n = 100_000
    answer = allocate(AllocationProblem(np.tile([0.75, 0.25], (n, 1)), np.array([2.0, 1.0]), 1.5 * n))
    assert answer.expected_success == 0.5
    assert answer.upper_bound == pytest.approx(0.5)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), cuts=st.lists(st.integers(0, 5), max_size=4))
def test_parts_reach_the_optimum(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    problem = AllocationProblem(rng.random((n, k)), rng.random((n, k)), float(rng.random() * n))
    truth = best(problem)
    parted = divided(problem, [min(cut, n) for cut in cuts])
    if truth is None:
        with pytest.raises(InfeasibleAllocation):
            allocate_parts(parted)
        return
    answer = allocate_parts(parted, exact=True)
    assert answer.expected_success * n == pytest.approx(truth, abs=1e-9)
    assert answer.status == "optimal"


def wide(matrix: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])


def test_wide_parquet_parts_are_decided_and_answered_file_by_file(tmp_path: Path) -> None:
    problem = problem_of("forbidden", 900, 5, 4, 0.4)
    parts = []
    for number, rows in enumerate(np.array_split(np.arange(900), 4)):
        tables = {"success": problem.success[rows], "cost": problem.cost[rows], "allowed": problem.allowed[rows]}
        for name, matrix in tables.items():
            pq.write_table(pa.table({name: wide(matrix)}), tmp_path / f"{name}-{number}.parquet")
        parts.append(WidePart(*(ParquetFile.at(tmp_path / f"{name}-{number}.parquet") for name in tables)))
    (tmp_path / "answers").mkdir()
    keep = AnswerFolder(str(tmp_path / "answers"))
    swept = allocate_parts(PartedProblem(parts, problem.budget), keep=keep, engine=DisorderlyEngine(1))
    whole = allocate(problem)
    assert [Path(answer.path).name for answer in swept.answers] == [f"part-00000{i}.parquet" for i in range(4)]
    table = pa.concat_tables([pq.read_table(answer.path) for answer in swept.answers])
    assert swept.choice.tolist() == whole.choice.tolist()
    assert table["choice"].to_pylist() == whole.choice.tolist()
    assert [-1 if k is None else k for k in table["runner_up"].to_pylist()] == whole.runner_up.tolist()
    assert table["switching_price"].to_pylist() == whole.switching_price.tolist()
    assert math.fsum(table["cost"].to_pylist()) <= problem.budget


def test_two_attempts_at_a_part_that_write_at_once_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_written, write = Barrier(2, timeout=30), pq.write_table

    def write_beside_the_other(table: pa.Table, path: Path) -> None:
        write(table, path)
        both_have_written.wait()

    monkeypatch.setattr(pq, "write_table", write_beside_the_other)
    problem, keep = divided(problem_of("plain", 300, 3, 1, 0.5), []), AnswerFolder(str(tmp_path))
    with ThreadPoolExecutor(2) as attempts:
        answers = list(attempts.map(lambda _: allocate_parts(problem, keep=keep).answers[0], range(2)))
    assert answers[0].choice.tolist() == allocate_parts(problem).choice.tolist()
    assert answers[0] == answers[1]
    assert [path.name for path in tmp_path.iterdir()] == ["part-000000.parquet"]


def test_side_constraints_are_solved_in_memory_where_they_fit_and_refused_before_anything_is_read() -> None:
    problem = replace(problem_of("plain", 300, 3, 1, 0.5), max_share=[0.4, 0.4, 0.4])
    parted = replace(divided(problem, [100, 100, 299]), constraints={"max_share": [0.4, 0.4, 0.4]})
    whole, swept = allocate(problem), allocate_parts(parted)
    assert swept.choice.tolist() == whole.choice.tolist()
    assert (swept.prices, swept.upper_bound, swept.status) == (whole.prices, whole.upper_bound, whole.status)
    with pytest.raises(TooManyRows, match=r"300 instructions under max_share.*133 instructions fit") as refused:
        allocate_parts(replace(parted, models=["a", "b", "c"]), memory_bytes=100_000)
    assert (refused.value.rows, refused.value.fit) == (300, 133)
    with pytest.raises(InvalidInput, match="policy 'ndch' cannot keep max_share"):
        allocate_parts(parted, "ndch")
    with pytest.raises(InvalidInput, match="no constraint 'max_shares'"):
        allocate_parts(replace(parted, constraints={"max_shares": [1]}))


GOOD = np.full((3, 2), 0.5)
BAD = np.array([[0.5, 0.5], [0.5, 1.5]])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "batch is empty"),
        ([ArrayPart(GOOD[:0], np.ones(2))], "batch is empty"),
        (
            [ArrayPart(GOOD, np.ones(2)), ArrayPart(BAD, np.ones(2))],
            r"part 1, row 1, column 'model_1'.*between 0 and 1",
        ),
        ([ArrayPart(GOOD, -np.ones((3, 2)))], r"part 0, row 0, column 'model_0': cost is -1"),
        ([ArrayPart(GOOD, np.ones(2)), ArrayPart(np.ones((1, 3)), np.ones(3))], "part 1: 3 models after 2"),
        ([ArrayPart(GOOD, np.ones(2)), ArrayPart(GOOD.astype(np.float32), np.ones(2))], "part 1.*one precision"),
        ([ArrayPart(GOOD, np.ones(2), np.ones((3, 1), bool))], "part 0: allowed must be bool"),
    ],
)
def test_bad_parts_are_refused_by_number(parts: list[ArrayPart], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        allocate_parts(PartedProblem(parts, 10.0), engine=DisorderlyEngine(0))


def test_a_row_without_allowed_models_is_named_by_its_number_in_the_batch() -> None:
    allowed = np.ones((3, 2), bool)
    allowed[1] = False
    parts = [ArrayPart(GOOD, np.ones(2)), ArrayPart(GOOD, np.ones(2), allowed)]
    with pytest.raises(InfeasibleConstraints, match=r"Row 4 is left without a model \(1 such rows\)"):
        allocate_parts(PartedProblem(parts, 10.0), engine=DisorderlyEngine(0))
    with pytest.raises(InvalidInput, match="policy 'ndch' cannot keep forbidden"):
        allocate_parts(PartedProblem([ArrayPart(GOOD, np.ones(2), np.ones((3, 2), bool))], 10.0), "ndch")


def test_random_keys_are_the_same_for_any_part_and_shuffle() -> None:
    rows = np.arange(10_000)
    keys = random_keys(rows, 5)
    assert np.array_equal(random_keys(rows[777:900], 5), keys[777:900])
    assert len(set(keys.tolist())) == rows.size
    order = np.argsort(keys)
    assert abs(np.corrcoef(rows, order)[0, 1]) < 0.03
    assert not np.array_equal(order, np.argsort(random_keys(rows, 6)))


def test_memory_holds_the_window_and_not_the_batch() -> None:
    """Two sweeps of a batch without overflow: one checks and samples, one decides; a third answers."""
    problem = problem_of("plain", 70_000, 8, 1, 0.4)
    assert allocate_parts(divided(problem, [30_000])).passes == 3
