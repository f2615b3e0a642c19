"""The same data versions come out of a batch in parts, whichever engine works on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster import found_by
from versions_by_engine import versions

from routing_assets.engine import LocalEngine
from routing_assets.home import Home


def test_one_process_and_two_make_the_same_versions(routed: Home, tmp_path: Path) -> None:
    one, two = (versions(LocalEngine(workers), routed, tmp_path / str(workers)) for workers in (1, 2))
    assert one == two
    assert len(set(one.values())) == 3


@pytest.mark.slow
def test_a_cluster_makes_the_same_versions(routed: Home, tmp_path: Path) -> None:
    local = versions(LocalEngine(), routed, tmp_path / "local")
    program = Path(__file__).with_name("versions_by_engine.py")
    assert found_by(program, tmp_path, routed.root) == local
