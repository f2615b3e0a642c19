"""The money of a batch's judge: committed beside that of the batch, so that month and journal have every USD of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction

import duckdb
import pyarrow as pa

from routing_assets.allocation.solver.exact import float_not_below
from routing_assets.batches.judging import Judging, Questions
from routing_assets.batches.money import follow_plan, month_state, period_budget, standing
from routing_assets.batches.month_plans import recorded_plans
from routing_assets.batches.outbox import JUDGE
from routing_assets.batches.policy import RoutingSettings
from routing_assets.foundation.sql import query
from routing_assets.storage.journal import append
from routing_assets.storage.warehouse import Warehouse

NO_DEMAND = json.dumps({"instructions": 0.0, "least_usd": 0.0, "price": [], "usd": []})
"""The curve of a judge, which says nothing of the work to come."""


def commit_judging(
    warehouse: Warehouse,
    batch_id: str,
    questions: Questions,
    settings: RoutingSettings,
    now: datetime | None = None,
) -> Judging:
    """Choose what to ask a judge now, and commit its bills and the estimates of what is asked, in one transaction.

    Under a period, nothing is asked that the month of ``now`` cannot pay. Bills are committed in any case. The money
    counts to the month that paid for it last, as long as it does not grow. It is held under ``<batch>/judge``, which
    stands for the run as well: no decision on the batch, and no end of a run, frees it.

    Args:
        settings: of the batch.
        now: defaults to this moment.
    """
    now, subject = (now or datetime.now(UTC)).astimezone(UTC), f"{batch_id}/{JUDGE}"
    if settings.period is not None:
        follow_plan(warehouse, period_budget(settings.period), now)
    with warehouse.transaction() as connection:
        newest = {"batch_id": subject, "runs": [subject]}
        known = connection.sql(query("newest_commitment"), params=newest).to_arrow_table().to_pylist()
        held = known[0]["usd"] if known else 0.0
        room = None if settings.period is None else max(Fraction(held), _room(connection, subject, settings, now))
        judging = questions.chosen(room)
        usd = float_not_below(judging.spent + judging.asked_usd)
        if usd != held:
            at = known[0]["committed_at"].astimezone(UTC) if usd < held else now
            row = {"batch_id": subject, "dagster_run_id": subject, "usd": usd, "urgent": settings.urgent}
            rows = pa.Table.from_pylist([row | {"curve": NO_DEMAND, "committed_at": at}])
            append(connection, "commitments", rows)
    return judging


def _room(connection: duckdb.DuckDBPyConnection, subject: str, settings: RoutingSettings, now: datetime) -> Fraction:
    """USD that the month of ``now`` leaves to a judge, its own commitments included."""
    plan = period_budget(settings.period)
    others = [past for name, past in standing(connection) if name != subject]
    return month_state(plan, others, now, recorded_plans(connection)).room(plan, now, urgent=settings.urgent)
