from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from routing_assets.daily_report import day_report
from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse


def test_a_line_that_a_full_disk_cut_short_does_not_hide_the_other_failures(tmp_path: Path) -> None:
    home = Home(tmp_path).create()
    Warehouse(home.warehouse).create()
    known = {"run_id": "run-one", "job": "route_batch", "batch_id": "weekly", "reason": "too little money"}
    home.failures.write_text('{"run_id": "run-two", "jo\n' + json.dumps(known) + "\n")
    report = day_report(home, datetime.now(UTC).date(), {"run-one": "route_batch", "run-two": "train_router"})
    rows = next(rows for rows in report.values() if any("reason" in row for row in rows))
    assert [(row["job"], row["reason"]) for row in rows] == [
        ("route_batch", "too little money"),
        ("train_router", "see its log in the UI"),
    ]
