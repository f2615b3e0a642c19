"""The engine of one machine: part order, errors as themselves, and processes that nobody misses in silence."""

from __future__ import annotations

import os
import time

import pytest

from routing_assets.allocation import InfeasibleBudget
from routing_assets.engine import Engine, LocalEngine, WorkerLost
from routing_assets.foundation.errors import InvalidInput

ENGINES = [LocalEngine(), LocalEngine(workers=2)]


def slow_first(part: int, factor: int) -> int:
    time.sleep(0.2 if part == 0 else 0)
    return part * factor


def infeasible(part: int) -> int:
    if part == 1:
        raise InfeasibleBudget(1.0, 2.0, policy="ndch", constraints=("mean_latency",))
    return part


def invalid(part: int) -> int:
    if part > 1:
        raise InvalidInput("no text", source="batch.csv", row=part, remedy="Write one.")
    return part


def threads(part: int) -> tuple[str | None, int]:
    return os.environ.get("OMP_NUM_THREADS"), os.getpid()


def dies(part: int) -> int:
    if part == 1:
        os._exit(9)
    return part


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_results_come_in_part_order(engine: Engine) -> None:
    assert list(engine.map(slow_first, range(6), 10)) == [0, 10, 20, 30, 40, 50]
    assert list(engine.map(slow_first, [], 10)) == []


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_an_error_keeps_its_type_and_its_place(engine: Engine) -> None:
    results = engine.map(invalid, range(6))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InvalidInput) as caught:
        next(results)
    assert (caught.value.row, caught.value.remedy) == (2, "Write one.")
    assert str(caught.value) == "batch.csv, row 2: no text. Write one."


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_an_error_keeps_all_its_attributes(engine: Engine) -> None:
    with pytest.raises(InfeasibleBudget) as caught:
        list(engine.map(infeasible, range(3)))
    assert str(caught.value) == str(InfeasibleBudget(1.0, 2.0, policy="ndch", constraints=("mean_latency",)))
    assert (caught.value.cheapest_budget, caught.value.constraints) == (2.0, ("mean_latency",))


def test_processes_have_one_thread_each() -> None:
    found = list(LocalEngine(workers=2).map(threads, range(8)))
    assert {count for count, _ in found} == {"1"}
    assert os.getpid() not in {process for _, process in found}


def test_one_part_is_worked_on_in_this_process() -> None:
    assert next(LocalEngine(workers=2).map(threads, [0]))[1] == os.getpid()


def test_a_process_that_dies_is_an_error_and_does_not_hang() -> None:
    with pytest.raises(WorkerLost, match="died, probably because memory ran out"):
        list(LocalEngine(workers=2).map(dies, range(4)))
