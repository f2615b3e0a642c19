"""The period's money: planned, committed, kept for urgent batches, and carried over to the next period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from routing_assets.allocation import InfeasibleAllocation
from routing_assets.allocation.solver.exact import exact_sum, float_not_above
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import FORM, Amount, AmountAsWritten, AsWritten, ShareAsWritten
from routing_assets.pacing.arrivals import Arrival
from routing_assets.pacing.curve import SpendCurve


class PeriodExhausted(InfeasibleAllocation):
    """Even the cheapest assignment of the batch costs more than the period has left for it.

    ``least_usd`` is what the cheapest assignment costs, ``room_usd`` what is left (rounded down), ``held_usd`` the part
    of the period's money that is kept for urgent batches.
    """

    def __init__(self, least_usd: float, room_usd: float, held_usd: float) -> None:
        self.least_usd, self.room_usd, self.held_usd = least_usd, room_usd, held_usd
        held = f", besides {held_usd:.6g} USD kept for urgent batches" if held_usd else ""
        super().__init__(
            f"the cheapest assignment of this batch costs {least_usd!r} USD, "
            f"but the period has {room_usd!r} USD left for it{held}: "
            f"raise the hard cap by at least {least_usd - room_usd:.6g} USD, or route the batch in the next period"
        )


@checked_dataclass(frozen=True, config=FORM)
class PeriodBudget:
    """How much may be spent in a period, say a month, over all its batches."""

    budget_usd: AmountAsWritten = Field(description="USD that pacing plans to spend in the period.")
    hard_cap_usd: AmountAsWritten | None = Field(
        default=None,
        description="USD that commitments never exceed, whatever is carried over; by default the planned money "
        "itself. A cap above the budget lets batches through whose cheapest assignment no longer fits the plan.",
    )
    reserve: ShareAsWritten = Field(
        default=0.0,
        description="Fraction of the period's money, from 0 to 1, that only urgent batches may use. What urgent "
        "batches did not use of it is released evenly as the period runs out.",
    )
    urgent_worth: Annotated[float, AsWritten(Annotated[Amount, Field(ge=1)])] = Field(
        default=2.0,
        description="How many successes of an ordinary batch one success of an urgent batch is worth: 1 or more.",
    )
    carry_over: ShareAsWritten = Field(
        default=0.0,
        description="Fraction of the unspent money, from 0 to 1, that the next period gets on top of its own.",
    )
    expected_instructions: AmountAsWritten | None = Field(
        default=None, description="Instructions that a whole period usually brings, where it is known beforehand."
    )

    def __post_init__(self) -> None:
        if self.hard_cap_usd is not None and self.hard_cap_usd < self.budget_usd:
            raise InvalidInput(
                f"the hard cap of {self.hard_cap_usd} USD is below the budget of {self.budget_usd} USD",
                remedy="Raise the cap or lower the budget",
            )

    def money(self, carried_usd: float) -> Fraction:
        """USD to plan with in a period that was handed ``carried_usd`` by the one before."""
        money = Fraction(self.budget_usd) + Fraction(carried_usd)
        return money if self.hard_cap_usd is None else min(money, Fraction(self.hard_cap_usd))

    def cap(self, carried_usd: float) -> Fraction:
        """USD that commitments of such a period never exceed."""
        return self.money(carried_usd) if self.hard_cap_usd is None else Fraction(self.hard_cap_usd)


@dataclass(frozen=True, eq=False)
class PastBatch:
    """A batch that was routed: when, for how many USD, and what it would have spent at other prices.

    Other spending of the period, such as that of a judge, has a curve of no instructions.
    """

    at: datetime
    usd: float
    curve: SpendCurve
    urgent: bool = False

    @property
    def arrival(self) -> Arrival:
        return Arrival(self.at, self.curve.instructions)


@dataclass(frozen=True, eq=False)
class PacingState:
    """The state of a period.

    Attributes:
        start, end: the period; ``end`` is the start of the next one.
        past: batches routed so far, of this period (they spend its money) and of earlier ones (they teach what to
            expect). A batch that is to be routed again must not be among them.
        carried_usd: what the period before handed over.
    """

    start: datetime
    end: datetime
    past: Sequence[PastBatch] = field(default=())
    carried_usd: float = 0.0

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise InvalidInput(f"the period ends at {self.end}, not after its start {self.start}")

    def committed(self, *, urgent_only: bool = False) -> Fraction:
        """USD that this period's batches are committed to, without rounding."""
        usd = [b.usd for b in self.past if self.start <= b.at < self.end and (b.urgent or not urgent_only)]
        return exact_sum(np.array(usd)) if usd else Fraction(0)

    def taken(self, plan: PeriodBudget, now: datetime, *, urgent: bool) -> Fraction:
        """USD that a batch which is routed ``now`` must leave: commitments and, unless it is urgent, the reserve."""
        return self.committed() + (Fraction(0) if urgent else self.held_for_urgent(plan, now))

    def room(self, plan: PeriodBudget, now: datetime, *, urgent: bool) -> Fraction:
        """USD that the hard cap leaves to a batch which is routed ``now``."""
        return max(Fraction(0), plan.cap(self.carried_usd) - self.taken(plan, now, urgent=urgent))

    def handed_on(self, plan: PeriodBudget) -> float:
        """USD that the period, once it has ended, hands to the next; rounded down."""
        left = plan.money(self.carried_usd) - self.committed()
        return float_not_above(max(Fraction(0), Fraction(plan.carry_over) * left))

    def held_for_urgent(self, plan: PeriodBudget, now: datetime) -> Fraction:
        """USD that ordinary batches must leave: the unused reserve, released evenly as the period runs out."""
        unused = Fraction(plan.reserve) * plan.money(self.carried_usd) - self.committed(urgent_only=True)
        return max(Fraction(0), unused) * Fraction((self.end - now) / (self.end - self.start))
