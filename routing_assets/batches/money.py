"""The money that batches are committed to: each its own budget, or paced so that a month's budget buys the most."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import duckdb
import pyarrow as pa

from routing_assets.allocation import AllocationProblem
from routing_assets.allocation.solver.exact import float_not_above, within
from routing_assets.batches.month_plans import Plans, month_name, plan_followed, plans_of, record_plan, recorded_plans
from routing_assets.batches.policy import RoutingSettings
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import read_values
from routing_assets.foundation.sql import query
from routing_assets.pacing import (
    PacingState,
    PastBatch,
    PeriodBudget,
    SpendCurve,
    least_usd,
    paced_budget,
    spend_curve,
)
from routing_assets.storage.journal import append
from routing_assets.storage.warehouse import Warehouse

LONGEST_WAIT = timedelta(hours=1)
"""A batch without a budget for longer than this was refused, so no money is kept for it."""

SET_FOR_BATCH = "set for the batch"
"""The reason given for a budget that was set and is not changed."""


@dataclass(frozen=True)
class BatchBudget:
    """What a batch may spend, and why."""

    budget_usd: float
    why: str
    paced_price: float | None = None
    """Expected successes that an extra USD must bring, in this batch and in those to come."""


def commit_budget(
    warehouse: Warehouse,
    batch_id: str,
    run_id: str,
    problem: AllocationProblem,
    settings: RoutingSettings,
    now: datetime | None = None,
) -> BatchBudget:
    """:func:`commit_share` for a batch in memory; the budget of ``problem`` is not used."""

    def demand() -> Demand:
        curve = spend_curve(problem)
        return Demand(curve, least_usd(problem, curve))

    return commit_share(warehouse, batch_id, run_id, settings.own_budget(problem.cost_matrix), demand, settings, now)


@dataclass(frozen=True, eq=False)
class Demand:
    """What a batch would spend at each price of money."""

    curve: SpendCurve
    least_usd: float
    """Of the cheapest assignment under all constraints, rounded up."""


def commit_share(
    warehouse: Warehouse,
    batch_id: str,
    run_id: str,
    own: float | None,
    demand: Callable[[], Demand],
    settings: RoutingSettings,
    now: datetime | None = None,
) -> BatchBudget:
    """Decide a batch's budget and, under a period budget, commit it in the same transaction.

    The month's plan is recorded before that, where it is new: it holds although the batch may be refused.

    Args:
        own: USD that are set for the batch; None where its share of the period decides.
        demand: called only under a period.
        now: defaults to this moment.

    Raises:
        PeriodExhausted: the period cannot pay even the cheapest assignment.
    """
    if own is not None and settings.period is None:
        return BatchBudget(own, SET_FOR_BATCH)
    wanted = demand()
    plan, now = period_budget(settings.period), (now or datetime.now(UTC)).astimezone(UTC)
    follow_plan(warehouse, plan, now)
    with warehouse.transaction() as connection:
        others = [past for name, past in standing(connection) if name != batch_id]
        plans = recorded_plans(connection)
        state, waiting = month_state(plan, others, now, plans), waiting_instructions(connection, batch_id, now)
        paced = paced_budget(
            wanted.curve,
            wanted.least_usd,
            now,
            plan,
            state,
            urgent=settings.urgent,
            waiting_instructions=waiting,
        )
        if own is None:
            budget = BatchBudget(paced.usd, f"{paced.why}{_remark(state, others, plans)}", paced.price)
        elif own <= paced.room_usd:
            budget = BatchBudget(own, f"{SET_FOR_BATCH}; the period has room for it")
        else:
            budget = BatchBudget(paced.room_usd, f"all that the period has left of the {own:.6g} USD set for it")
        _append(connection, batch_id, run_id, budget.budget_usd, settings.urgent, paced.curve, now)
    return budget


def commit_cost(
    warehouse: Warehouse,
    batch_id: str,
    runs: Sequence[str],
    cost_usd: float,
    settings: RoutingSettings,
    now: datetime | None = None,
) -> None:
    """Replace the budget committed to a batch by what the routed batch is estimated to cost.

    It counts to the month in which the budget was committed, whose money paid for it. Where these runs hold too little,
    as after a failure that freed the budget, the cost is taken from what the month of ``now`` has left.

    Args:
        runs: the run and the failed runs that it resumes, newest first.
        settings: with a period. Where the month follows a newer plan by now, that plan counts.
        now: defaults to this moment.

    Raises:
        InvalidInput: no budget was made for the batch, or the month has not so much left.
    """
    plan, now = period_budget(settings.period), (now or datetime.now(UTC)).astimezone(UTC)
    with warehouse.transaction() as connection:
        of_runs = {"batch_id": batch_id, "runs": list(runs)}
        known = connection.sql(query("newest_commitment"), params=of_runs).to_arrow_table().to_pylist()
        if not known:
            raise InvalidInput(f"no budget was made for batch '{batch_id}'", remedy="Route it from the beginning.")
        held = known[0]
        if held["by_these_runs"] and cost_usd <= held["usd"]:
            at = held["committed_at"].astimezone(UTC)
        else:
            at, others = now, [past for name, past in standing(connection) if name != batch_id]
            plans = recorded_plans(connection)
            plan = plan_followed(plans, now) or plan
            room = month_state(plan, others, now, plans).room(plan, now, urgent=settings.urgent)
            if not within(Fraction(cost_usd), room):
                raise InvalidInput(
                    f"batch '{batch_id}' costs {cost_usd:.6g} USD, but its run no longer holds money, and the period "
                    f"has {float_not_above(room):.6g} USD left",
                    remedy="Route it from the beginning.",
                )
        curve = SpendCurve.from_dict(json.loads(held["curve"]))
        _append(connection, batch_id, runs[0], cost_usd, settings.urgent, curve, at)


def room_of_month(
    warehouse: Warehouse, batch_id: str, settings: RoutingSettings, now: datetime | None = None
) -> tuple[Fraction, float]:
    """USD that the month of ``now`` has left for a batch, and USD that it keeps for urgent ones."""
    plan, now = period_budget(settings.period), now or datetime.now(UTC)
    with warehouse.reader() as connection:
        others = [past for name, past in standing(connection) if name != batch_id]
        plans = recorded_plans(connection)
    state = month_state(plan, others, now, plans)
    held = float(state.taken(plan, now, urgent=settings.urgent) - state.committed())
    return state.room(plan, now, urgent=settings.urgent), held


def undecided_runs(warehouse: Warehouse) -> list[str]:
    """Runs that hold money and have not decided their batch: they are under way, or ended without success."""
    return [row["dagster_run_id"] for row in warehouse.fetch("undecided_commitments")]


def release_commitments(warehouse: Warehouse, runs: Sequence[str]) -> None:
    """Free the money of these runs, which ended. Runs that decided before they failed keep theirs."""
    if not runs:
        return
    with warehouse.transaction() as connection:
        held = connection.sql(query("released_commitments"), params={"runs": list(runs)}).to_arrow_table()
        if held.num_rows:
            append(connection, "commitments", held)


def period_budget(values: Mapping[str, float] | None) -> PeriodBudget:
    """The period's plan from routing settings that have one."""
    return read_values(PeriodBudget, values or {}, source="the routing policy")


def month_state(plan: PeriodBudget, past: list[PastBatch], now: datetime, plans: Plans | None = None) -> PacingState:
    """The calendar month of ``now``, with the money carried over from the months since the first commitment or plan.

    Args:
        plan: of the month of ``now``.
        plans: the recorded plans, by which past months are valued. A month without one carries over what the nearest
            plan before or after it would, whichever is less.
    """
    start, carried = _first_month(past, plans or {}, now), 0.0
    while (state := PacingState(start, _next_month(start), past, carried)).end <= now:
        carried = min(state.handed_on(of_month) for of_month in plans_of(month_name(start), plans or {}, plan))
        start = state.end
    return state


def standing(connection: duckdb.DuckDBPyConnection, until: datetime | None = None) -> list[tuple[str, PastBatch]]:
    """Batch id and commitment of every batch; as of ``until`` where it is given."""
    return [
        (
            row["batch_id"],
            PastBatch(
                row["committed_at"].astimezone(UTC),
                row["usd"],
                SpendCurve.from_dict(json.loads(row["curve"])),
                row["urgent"],
            ),
        )
        for row in connection.sql(query("commitments"), params={"until": until}).to_arrow_table().to_pylist()
    ]


def waiting_instructions(connection: duckdb.DuckDBPyConnection, batch_id: str, now: datetime) -> float:
    """Instructions of other batches that came a short while ago and have no budget yet."""
    parameters = {"batch_id": batch_id, "since": now - LONGEST_WAIT}
    ((instructions,),) = connection.execute(query("waiting_instructions"), parameters).fetchall()
    return float(instructions)


def follow_plan(warehouse: Warehouse, plan: PeriodBudget, now: datetime) -> None:
    """Record the plan of the month of ``now``, unless the month follows it already."""
    with warehouse.reader() as connection:
        plans = recorded_plans(connection)
        past = [batch for _, batch in standing(connection)]
    if plans.get(month_name(now)) != plan:
        state = month_state(plan, past, now, plans)
        with warehouse.transaction() as connection:
            record_plan(connection, plan, state.carried_usd, now)


def _remark(state: PacingState, past: list[PastBatch], plans: Plans) -> str:
    """Names the past months that carry money over without a recorded plan; empty where there are none."""
    start, unrecorded = _first_month(past, plans, state.start), []
    while start < state.start:
        unrecorded += [] if month_name(start) in plans else [month_name(start)]
        start = _next_month(start)
    if not unrecorded or not state.carried_usd:
        return ""
    return (
        f". No plan was recorded in {', '.join(unrecorded)}: for what is carried over, the plan nearest in time counts"
    )


def _append(
    connection: duckdb.DuckDBPyConnection,
    batch_id: str,
    run_id: str,
    usd: float,
    urgent: bool,
    curve: SpendCurve,
    at: datetime,
) -> None:
    row = {
        "batch_id": batch_id,
        "dagster_run_id": run_id,
        "usd": usd,
        "urgent": urgent,
        "curve": json.dumps(curve.to_dict()),
        "committed_at": at,
    }
    append(connection, "commitments", pa.Table.from_pylist([row]))


def _first_month(past: list[PastBatch], plans: Plans, now: datetime) -> datetime:
    planned = [datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC) for name in plans]
    return _month(min([now, *planned, *(batch.at for batch in past)]))


def _month(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next_month(start: datetime) -> datetime:
    return start.replace(year=start.year + 1, month=1) if start.month == 12 else start.replace(month=start.month + 1)
