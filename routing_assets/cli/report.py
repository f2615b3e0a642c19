"""The command that reports on one day."""

from __future__ import annotations

from datetime import date

from routing_assets.audit.daily_report import as_markdown, day_report, write_report
from routing_assets.audit.failures import failures_on
from routing_assets.cli.output import say, shown_as_json
from routing_assets.home import Home


def report(home: Home, day: date) -> None:
    """Make and print the report of one day."""
    made = day_report(home.warehouse, home.folders, home.policy_file, day, failures_on(home.failures, day))
    page, _ = write_report(home.reports, day, made)
    if not shown_as_json(made):
        say(as_markdown(day, made))
    say(f"written to {page.with_suffix('')}.md and .json")
