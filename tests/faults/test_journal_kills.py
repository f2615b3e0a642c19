"""A process that dies between a commit and its anchor is not taken for somebody who tampers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import forked
import pyarrow as pa
import pytest
from crash_points import CrashPoints

from routing_assets.audit.replay import broken_entries
from routing_assets.home import Home


def begin(home: Home) -> None:
    """A home with the rows of an earlier version, whose journal begins now, and two more."""
    warehouse = home.create().warehouse
    warehouse.create()
    for batch in ("a", "b"):
        warehouse.append("withdrawals", pa.table({"batch_id": [batch]}))


def killed(home: Home, fatal: int) -> None:
    CrashPoints(fatal).install()
    begin(home)


def points_of(home: Home) -> list[str]:
    points = CrashPoints().install()
    begin(home)
    return points.names


@pytest.mark.faults
def test_a_kill_at_every_moment_of_a_commit_is_no_tampering(tmp_path: Path) -> None:
    log = tmp_path / "log"
    moments = forked.result_of(partial(points_of, Home(tmp_path / "whole")), log)
    assert moments.count("before flush to the disk") == 3  # the journal's beginning, and each of the two rows
    made = moments.index("after commit")
    assert moments.index("after migration") < moments.index("before flush to the disk") < made
    rows = moments[made + 1 :]
    assert rows.index("before commit") < rows.index("before flush to the disk") < rows.index("after commit")
    for number, moment in enumerate(moments):
        home = Home(tmp_path / f"home{number}")
        assert forked.killed_after(partial(killed, home, number), 60.0, log), moment
        home.create().warehouse.create()  # as the next command does
        assert broken_entries(home.warehouse, home.store, home.folders) == [], moment
        begin(home)
        assert broken_entries(home.warehouse, home.store, home.folders) == [], moment
