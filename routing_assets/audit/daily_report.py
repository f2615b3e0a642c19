"""The report of one day: batches routed, money spent, outcomes, drift, routers, failures and refused files."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from routing_assets.batches.folders import BatchFolders
from routing_assets.foundation.files import atomic_path
from routing_assets.foundation.markdown import table
from routing_assets.storage.warehouse import Warehouse

Rows = list[dict[str, Any]]
SECTIONS = {
    "routed": "Batches routed",
    "budget": "The month's money",
    "outcomes": "Promised and realised",
    "grades": "Grading",
    "drift": "Drift",
    "routers": "Routers",
    "submissions": "Files set aside, and results that cannot be read",
    "failures": "Failed runs",
    "rejected": "Rejected files",
    "held": "Files held because another batch has the same content",
}


def day_report(
    warehouse: Warehouse, folders: BatchFolders, policy_file: Path, day: date, failures: Rows
) -> dict[str, Rows]:
    """The rows of each section of one day (UTC).

    Args:
        failures: run, job, batch and reason of the Dagster runs that failed that day.
    """
    start = datetime.combine(day, time(), UTC)
    bounds = {"start": start, "end": start + timedelta(days=1)}
    of_day = ("routed", "outcomes", "grades", "drift", "routers", "submissions")
    sections = {name: warehouse.fetch(f"day_{name}", bounds) for name in of_day}
    return {
        **sections,
        "budget": _budget(warehouse, policy_file, bounds["end"] - timedelta(microseconds=1)),
        "failures": failures,
        "rejected": _with_reasons(folders.rejected, bounds["start"], bounds["end"]),
        "held": _with_reasons(folders.held, bounds["start"], bounds["end"]),
    }


def write_report(reports: Path, day: date, report: dict[str, Rows]) -> tuple[Path, Path]:
    """Write ``reports/<day>.md`` and ``.json``; a second report of a day replaces the first."""
    page, data = (reports / f"{day}.{ending}" for ending in ("md", "json"))
    with atomic_path(page) as temporary:
        temporary.write_text(as_markdown(day, report), encoding="utf-8")
    with atomic_path(data) as temporary:
        content = {"day": str(day), **report}
        temporary.write_text(json.dumps(content, indent=1, default=str, ensure_ascii=False) + "\n", encoding="utf-8")
    return page, data


def as_markdown(day: date, report: dict[str, Rows]) -> str:
    """The report as a page; a section without rows says "none"."""
    lines = [f"# Routing on {day} (UTC)"]
    for name, title in SECTIONS.items():
        lines += ["", f"## {title}", ""]
        rows = [{name: _time_of_day(value) for name, value in row.items()} for row in report[name]]
        lines.append(table(rows) if rows else "none")
    return "\n".join(lines) + "\n"


def _time_of_day(value: Any) -> Any:
    return f"{value.astimezone(UTC):%H:%M}" if isinstance(value, datetime) else value


def _budget(warehouse: Warehouse, policy_file: Path, now: datetime) -> Rows:
    """The month's money at ``now``: by the plan recorded for the month or, where there is none, by today's policy."""
    plans_known = [row["plan"] for row in warehouse.fetch("month_plans", {"until": now})]
    if not policy_file.exists() and not any(json.loads(plan or "null") for plan in plans_known):
        return []
    from routing_assets.batches.money import month_state, period_budget, standing
    from routing_assets.batches.month_plans import plan_followed, recorded_plans
    from routing_assets.batches.policy import standing_policy

    with warehouse.reader() as connection:
        past = [batch for _, batch in standing(connection, until=now)]
        plans = recorded_plans(connection, until=now)
    recorded, today = plan_followed(plans, now), standing_policy(policy_file).period
    if recorded is None and today is None:
        return []
    plan = period_budget(today) if recorded is None else recorded
    state = month_state(plan, past, now, plans)
    planned, committed = float(plan.money(state.carried_usd)), float(state.committed())
    elapsed = (now - state.start) / (state.end - state.start)
    return [
        {
            "month": f"{state.start:%Y-%m}",
            "planned USD": planned,
            "carried over USD": state.carried_usd,
            "committed USD": committed,
            "left USD": planned - committed,
            "share of the money": committed / planned if planned else None,
            "share of the month": elapsed,
            "planned by": "today's policy" if recorded is None else "the plan recorded",
        }
    ]


def _with_reasons(folder: Path, start: datetime, end: datetime) -> Rows:
    reasons = sorted(folder.glob("*.reason.txt")) if folder.exists() else []
    of_day = [path for path in reasons if start.timestamp() <= path.stat().st_mtime < end.timestamp()]
    return [
        {"file": path.name.removesuffix(".reason.txt"), "reason": path.read_text(encoding="utf-8").strip()}
        for path in of_day
    ]
