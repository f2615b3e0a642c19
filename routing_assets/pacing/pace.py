"""The budget of one batch, such that a USD buys as much success in it as in the batches still to come.

Over a period, total success is greatest where the marginal USD is worth the same in every batch: one shadow price for
the whole stream. The price is solved again for every batch, from the money left, the batch's own frontier and the
expected remaining work. Each remaining instruction is taken to spend like those of recent batches. Re-solving with
forecasts (Jasin & Kumar 2012) reacts to the actual spend, as adaptive pacing multipliers do (Balseiro & Gur 2019; PORT
for LLM routing), and needs no step size.

Limit: if a period has only some tens of batches and most of its work comes in bursts, forecasts are poor and money may
stay unspent (tests/benchmarks/pacing_simulation.py); let it carry over.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction

import numpy as np

from routing_assets.allocation import AllocationProblem, InfeasibleBudget, allocate
from routing_assets.allocation.solver.exact import float_not_above, within
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pacing.arrivals import Arrival, Forecast, forecast
from routing_assets.pacing.curve import SpendCurve, spend_curve, typical_curve
from routing_assets.pacing.period import PacingState, PeriodBudget, PeriodExhausted

_HALF_LIFE_DAYS = 14.0  # of what recent batches say about the work to come
_FORGOTTEN = 1e-3
# In standard errors of the forecast. Too little kept costs more success than too much, which later batches still spend,
# so pacing plans for a little more work than expected; and far more must still find money for its cheapest assignment.
_CAUTION = 0.5
_MARGIN = 3.0
_ROUNDING = 1e-9  # of the float sum of all steps: the most expensive assignment must not fail by an ulp


@dataclass(frozen=True)
class PacedBudget:
    """What one batch may spend, and why."""

    usd: float
    """Budget of the batch; together with earlier commitments never above the hard cap, compared without rounding."""
    price: float
    """Expected successes an extra USD must bring, here and in batches to come; inf where only the least is spent."""
    least_usd: float
    """What the batch's cheapest feasible assignment costs."""
    room_usd: float
    """The most that the hard cap leaves to this batch, rounded down."""
    expected_instructions: float
    """Instructions that are expected after this batch until the period ends, those already waiting included."""
    why: str
    curve: SpendCurve = field(repr=False, compare=False)
    """The batch's curve, thinned: keep it in the ledger as :class:`PastBatch`."""


def batch_budget(
    problem: AllocationProblem,
    now: datetime,
    plan: PeriodBudget,
    state: PacingState,
    *,
    urgent: bool = False,
    waiting_instructions: float = 0.0,
) -> PacedBudget:
    """The budget of a batch that is routed ``now``; ``problem.budget`` is not used. See :func:`paced_budget`."""
    curve = spend_curve(problem)
    least = least_usd(problem, curve)
    return paced_budget(curve, least, now, plan, state, urgent=urgent, waiting_instructions=waiting_instructions)


def paced_budget(
    curve: SpendCurve,
    least: float,
    now: datetime,
    plan: PeriodBudget,
    state: PacingState,
    *,
    urgent: bool = False,
    waiting_instructions: float = 0.0,
) -> PacedBudget:
    """The budget of a batch that is routed ``now``, from what it would spend at each price.

    Callers must commit (append to ``state.past``) before they ask for the next batch: two batches paced from the same
    state would both be given the same money.

    Args:
        least: USD of the cheapest assignment under all constraints, rounded up.
        waiting_instructions: of other batches that have arrived and are not routed yet.

    Raises:
        PeriodExhausted: the hard cap (less the reserve, for an ordinary batch) cannot pay the cheapest assignment.
        InvalidInput: ``now`` lies outside the period.
        InfeasibleConstraints: the batch has no assignment at any budget.
    """
    if not state.start <= now < state.end:
        raise InvalidInput(
            f"{now} is not in the period from {state.start} to {state.end}", remedy="Begin the next period"
        )
    taken, room = state.taken(plan, now, urgent=urgent), state.room(plan, now, urgent=urgent)
    if not within(Fraction(least), room):
        raise PeriodExhausted(least, float_not_above(room), float(taken - state.committed()))
    coming = _coming(int(curve.instructions), now, plan, state)
    work = waiting_instructions + coming.instructions
    planned = float(plan.money(state.carried_usd) - taken)
    worth = plan.urgent_worth if urgent else 1.0
    typical = _typical(curve, state, now)
    price, wanted = _split(curve, worth, typical, work + _CAUTION * coming.std, planned)
    safe = planned - (work + _MARGIN * coming.std) * typical.least_usd
    usd = float_not_above(min(max(Fraction(min(wanted, safe)), Fraction(least)), room))
    kind = "all" if urgent else "ordinary"
    why = (
        f"{planned:.6g} USD are left for {kind} work until {state.end:%Y-%m-%d %H:%M}; about "
        f"{work:,.0f} instructions are expected after these {int(curve.instructions):,}. "
        f"{_reason(usd, wanted, least, price, worth)}"
    )
    return PacedBudget(usd, price, least, float_not_above(room), work, why, curve.thinned())


def _coming(instructions: int, now: datetime, plan: PeriodBudget, state: PacingState) -> Forecast:
    """The work still to arrive in the period, this batch being the latest arrival."""
    arrivals = [*(batch.arrival for batch in state.past if batch.curve.instructions), Arrival(now, instructions)]
    days = (state.end - state.start).total_seconds() / 86_400
    per_day = None if plan.expected_instructions is None else plan.expected_instructions / days
    return forecast(arrivals, now, state.end, prior_per_day=per_day)


def least_usd(problem: AllocationProblem, curve: SpendCurve) -> float:
    """What the cheapest assignment costs under all constraints, USD, rounded up."""
    if not problem.side_constraints:
        return curve.least_usd
    try:
        allocate(replace(problem, budget=curve.least_usd))
    except InfeasibleBudget as short:
        return short.cheapest_budget
    return curve.least_usd


def _typical(own: SpendCurve, state: PacingState, now: datetime) -> SpendCurve:
    """The curve of one instruction still to come, as recent batches and this one have it."""
    curves, weights = [own], [1.0]
    for batch in state.past:
        weight = 0.5 ** ((now - batch.at).total_seconds() / 86_400 / _HALF_LIFE_DAYS)
        if weight > _FORGOTTEN:
            curves.append(batch.curve)
            weights.append(weight)
    return typical_curve(curves, weights)


def _split(own: SpendCurve, worth: float, typical: SpendCurve, work: float, money: float) -> tuple[float, float]:
    """The price at which this batch and ``work`` typical instructions spend ``money`` together, and the batch's USD.

    Of steps that sit exactly at the price both get the same fraction: calibrated buckets make many equal steps.
    """
    extra = money - own.least_usd - work * typical.least_usd
    if extra <= 0:
        return float("inf"), own.least_usd
    price = np.concatenate([worth * own.price, typical.price])
    usd = np.concatenate([own.usd, work * typical.usd])
    order = np.argsort(-price, kind="stable")
    filled = np.cumsum(usd[order])
    at = int(np.searchsorted(filled, extra, side="right"))
    if at == len(filled):
        return 0.0, (own.least_usd + float(own.usd.sum())) * (1 + _ROUNDING)
    margin = float(price[order[at]])
    fraction = (extra - usd[price > margin].sum()) / usd[price == margin].sum()
    mine = price[: len(own.price)]
    part = own.usd[mine > margin].sum() + min(1.0, max(0.0, fraction)) * own.usd[mine == margin].sum()
    return margin, own.least_usd + float(part)


def _reason(usd: float, wanted: float, least: float, price: float, worth: float) -> str:
    if usd <= least:
        return f"Nothing is to spare, so the batch gets what its cheapest assignment costs: {usd:.6g} USD"
    if price == 0:
        reason = "There is money enough for all the success this batch can have"
    elif worth > 1:
        here = price / worth
        reason = f"An extra USD must bring {here:.4g} successes in this urgent batch and {price:.4g} in those to come"
    else:
        reason = f"An extra USD must bring {price:.4g} successes, in this batch as in those to come"
    kept = "" if usd >= wanted else f", less {wanted - usd:.6g} USD kept for work beyond the forecast"
    return f"{reason}: {usd:.6g} USD{kept}"
