"""What the report of a day tells."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from routing_assets.audit.daily_report import as_markdown, day_report
from routing_assets.batches.ledger import record_grading
from routing_assets.home import Home


def test_it_tells_how_often_the_two_orders_of_a_judge_differ(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    home.warehouse.create()
    grading = {
        "batch_id": "b",
        "decision_run_id": "run",
        "grader": "judge",
        "grader_version": "1",
        "settings": "{}",
        "of_batch": True,
        "graded": 8,
        "ungraded": 0,
        "judged_in_both_orders": 8,
        "orders_differ": 2,
    }
    alone = {**grading, "batch_id": "alone", "judged_in_both_orders": 0, "orders_differ": 0}
    with home.warehouse.transaction() as connection:
        for row in ({**grading, "orders_differ": 8}, grading, alone):
            record_grading(connection, row, run_id="run")
    today = datetime.now(UTC).date()
    report = day_report(home.warehouse, home.folders, home.policy_file, today, [])
    told = {row["batch"]: row["orders differ"] for row in report["grades"]}
    assert told == {"b": 0.25, "alone": None}
    assert "## Grading" in as_markdown(today, report)
