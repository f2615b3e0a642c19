"""Allocation by sweeps on a simulated Ray cluster: a node and a driver are killed, the decision stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cluster import found_by

from routing_assets.allocation import POLICIES

pytestmark = pytest.mark.slow
PARTS, ROWS = 12, 8_000


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program found out."""
    return found_by(Path(__file__).with_name("allocation_on_cluster.py"), tmp_path_factory.mktemp("cluster"))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """The same choices, certificate and files, byte for byte."""
    return all(one[name] == other[name] for name in ("choice", "certificate", "files", "rows", "passes"))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_cluster_decides_as_one_machine_does(found: dict[str, Any], policy: str) -> None:
    local = found["policies"][policy]["local"]
    assert same(local, found["policies"][policy]["ray"])
    assert local["rows"] == PARTS * ROWS
    assert list(local["files"]) == [f"part-{number:06d}.parquet" for number in range(PARTS)]


@pytest.mark.parametrize(("sweep", "answered"), [("deciding", range(1)), ("answering", range(4, PARTS))])
def test_a_killed_node_loses_or_repeats_no_row(found: dict[str, Any], sweep: str, answered: range) -> None:
    story = found[sweep]
    assert story["answered"][0] in answered
    assert same(story, found["policies"]["mip"]["local"])
    assert story["read"] == list(range(PARTS))
    assert story["readings"] > story["passes"] * PARTS


def test_after_a_killed_driver_the_same_is_decided_again(found: dict[str, Any]) -> None:
    story = found["driver_killed"]
    assert 4 <= story["left_by_the_first"] < PARTS
    assert same(story, found["policies"]["mip"]["local"])
