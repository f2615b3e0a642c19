"""The Ray engine on a real, if simulated, cluster: a node, a process and a driver are killed, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cluster import found_by

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program found out."""
    return found_by(Path(__file__).with_name("simulated_cluster.py"), tmp_path_factory.mktemp("cluster"))


def test_results_come_in_part_order(found: dict[str, Any]) -> None:
    assert found["order"] == list(range(50))
    assert found["none"] == []


def test_errors_keep_their_type_and_are_not_retried(found: dict[str, Any]) -> None:
    errors = found["errors"]
    assert errors["invalid"] == {
        "seen": [0],
        "kind": "InvalidInput",
        "message": "batch.csv, row 7: no text. Write one.",
    }
    assert errors["infeasible"]["kind"] == "InfeasibleBudget"
    assert errors["infeasible"]["message"].endswith("the cheapest feasible budget is 2.0 USD")
    assert errors["attempts_at_invalid"] == 1


def test_a_part_whose_process_dies_is_tried_again_and_then_named(found: dict[str, Any]) -> None:
    assert found["errors"]["process_lost_once"] == list(range(6))
    assert found["errors"]["fatal"]["kind"] == "WorkerLost"
    assert found["errors"]["fatal"]["message"].startswith("The work on part 0 of 1 was given up after 1 retries")
    assert found["errors"]["attempts_at_fatal"] == 2


def test_the_work_in_flight_is_bounded(found: dict[str, Any]) -> None:
    assert found["in_flight"] == {"bounded": 1, "free": 2}


def test_a_killed_driver_is_taken_over_and_no_finished_part_is_made_again(found: dict[str, Any]) -> None:
    story = found["driver_killed"]
    assert story["version"] == found["local"]
    assert story["kept"] >= 4
    assert len(story["redone"]) == len(set(story["redone"])) == 12 - story["kept"]


def test_a_killed_node_loses_or_repeats_no_part(found: dict[str, Any]) -> None:
    story = found["node_killed"]
    assert story["version"] == found["local"]
    assert story["rows_are_whole"]
    assert sorted(set(story["started"])) == list(range(12))
    assert len(story["started"]) > 12
