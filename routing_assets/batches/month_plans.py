"""The recorded plans of the money of each calendar month. Past months keep their plans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

import duckdb
import pyarrow as pa

from routing_assets.foundation.sql import query
from routing_assets.pacing import PeriodBudget
from routing_assets.storage.journal import append

Plans = Mapping[str, PeriodBudget]
"""The recorded plan of each month (YYYY-MM, UTC). Months without one are absent."""
NO_PLAN = PeriodBudget(0.0)
"""The plan of a month in which batches were routed without a period."""


def recorded_plans(connection: duckdb.DuckDBPyConnection, until: datetime | None = None) -> Plans:
    """The last plan recorded in each month, as of ``until`` where it is given.

    For months before plans were recorded, the plan in the month's last decision, or ``NO_PLAN`` where it had none.
    """
    rows = connection.execute(query("month_plans"), {"until": until}).fetchall()
    plans = {month: json.loads(plan) if plan else None for month, plan in rows}
    return {month: PeriodBudget(**plan) if plan else NO_PLAN for month, plan in plans.items()}


def plan_followed(plans: Plans, at: datetime) -> PeriodBudget | None:
    """The plan recorded for the month of ``at``, if any."""
    recorded = plans.get(month_name(at))
    return None if recorded == NO_PLAN else recorded


def record_plan(connection: duckdb.DuckDBPyConnection, plan: PeriodBudget, carried_usd: float, now: datetime) -> None:
    """Record that the month of ``now`` follows ``plan`` from now on."""
    row = {
        "month": month_name(now),
        "plan": json.dumps(asdict(plan), sort_keys=True),
        "carried_usd": carried_usd,
        "recorded_at": now,
    }
    append(connection, "month_plans", pa.Table.from_pylist([row]))


def plans_of(month: str, plans: Plans, running: PeriodBudget) -> list[PeriodBudget]:
    """The plan recorded in a past month; where there is none, those of the months nearest before and after it.

    Args:
        running: of the running month, which comes after all past ones.
    """
    if month in plans:
        return [plans[month]]
    before = [plans[name] for name in sorted(plans) if name < month]
    after = [plans[name] for name in sorted(plans) if name > month]
    return [*before[-1:], *(after[:1] or [running])]


def month_name(at: datetime) -> str:
    """``YYYY-MM`` of a moment in UTC."""
    return f"{at:%Y-%m}"
