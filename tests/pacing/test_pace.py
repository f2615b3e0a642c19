from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import END, START, at, equal_problem, past, random_problem, state

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pacing import PacedBudget, PastBatch, PeriodBudget, PeriodExhausted, batch_budget, spend_curve


def daily_history(problem: AllocationProblem, days: int = 28) -> list[PastBatch]:
    return [past(problem, -d + 0.5, 0.0) for d in range(1, days + 1)]


arrivals = st.lists(
    st.tuples(
        st.floats(0, 0.2),  # part of the period until the next batch
        st.integers(1, 30),  # instructions
        st.floats(0.01, 30.0),  # price level
        st.booleans(),  # urgent
        st.booleans(),  # the whole budget is committed, not only what the allocation costs
    ),
    min_size=1,
    max_size=12,
)


@given(arrivals, st.floats(0.1, 20), st.floats(1, 1.5), st.floats(0, 0.5), st.floats(0, 5))
def test_for_any_arrivals_the_cap_holds_and_every_batch_that_fits_is_paid(arrivals, budget, above, reserve, carried):
    plan = PeriodBudget(budget, hard_cap_usd=budget * above, reserve=reserve)
    now, batches = 0.0, []
    for i, (gap, n, scale, urgent, all_of_it) in enumerate(arrivals):
        now = min(now + 30 * gap, 29.99)
        problem, here = random_problem(i, n, scale), state(*batches, carried=carried)
        held = 0 if urgent else here.held_for_urgent(plan, at(now))
        room = plan.cap(carried) - here.committed() - held
        if Fraction(spend_curve(problem).least_usd) > room:
            with pytest.raises(PeriodExhausted):
                batch_budget(problem, at(now), plan, here, urgent=urgent)
            continue
        paced = batch_budget(problem, at(now), plan, here, urgent=urgent)
        assert Fraction(paced.usd) <= room
        assert paced.usd >= paced.least_usd
        allocation = allocate(replace(problem, budget=paced.usd))
        usd = paced.usd if all_of_it else allocation.total_cost
        batches.append(PastBatch(at(now), usd, paced.curve, urgent))
        assert state(*batches).committed() <= Fraction(plan.hard_cap_usd)


def test_batches_alike_are_paid_alike() -> None:
    problem, batches = equal_problem(), daily_history(equal_problem())
    plan, spent = PeriodBudget(30 * 10 * 0.6), []
    for day in range(30):
        paced = batch_budget(problem, at(day + 0.5), plan, state(*batches))
        spent.append(paced.usd)
        batches.append(PastBatch(at(day + 0.5), paced.usd, paced.curve))
    assert np.mean(spent) == pytest.approx(6.0, rel=0.03)
    np.testing.assert_allclose(spent[:-3], 6.0, rtol=0.15)  # what caution kept is spent at the end


def test_the_same_dollar_is_worth_the_same_in_batches_that_differ() -> None:
    """Two kinds of batches, announced in full: budgets are those of the two solved as one."""
    small, large = random_problem(1, 400), random_problem(2, 400, scale=3.0)
    together = AllocationProblem(
        np.vstack([small.success, large.success]), np.vstack([small.cost, large.cost]), 0.4 * large.cost[:, 2].sum()
    )
    best = allocate(together)
    of_small = small.chosen(small.cost_matrix, best.choice[:400]).sum()
    # the large kind is all that history shows, and exactly 400 more instructions of it are waiting
    history = past(large, -27.99, 0.0)
    last_minute = at(29.9999)
    paced = batch_budget(
        small, last_minute, PeriodBudget(together.budget), state(history, history, history), waiting_instructions=400
    )
    without_own = best.shadow_price
    assert paced.price == pytest.approx(without_own, rel=0.5)
    assert paced.usd == pytest.approx(of_small, rel=0.35)


def test_a_batch_that_gains_more_from_money_gets_more() -> None:
    easy = AllocationProblem(np.tile([0.9, 0.95], (10, 1)), np.array([0.1, 1.1]), np.inf)
    hard = AllocationProblem(np.tile([0.1, 0.9], (10, 1)), np.array([0.1, 1.1]), np.inf)
    here = state(*daily_history(easy), *daily_history(hard))
    plan = PeriodBudget(30 * 20 * 0.5)
    assert batch_budget(easy, at(1), plan, here).usd == pytest.approx(1.0)
    assert batch_budget(hard, at(1), plan, here).usd > 7


def test_the_last_batch_takes_what_is_left_and_plenty_pays_everything() -> None:
    problem = equal_problem()
    nightly = [past(problem, -d + 0.999, 0.0) for d in range(1, 60)]
    last = batch_budget(problem, at(29.9999), PeriodBudget(5.0), state(*nightly))
    assert last.usd == pytest.approx(5.0, rel=0.03)
    rich = batch_budget(problem, at(3), PeriodBudget(1e6), state(*nightly))
    assert rich.usd == pytest.approx(11.0)
    assert rich.price == 0
    assert "money enough" in rich.why


def test_a_poor_period_still_pays_the_cheapest_assignments() -> None:
    here, plan = state(*daily_history(equal_problem())), PeriodBudget(20.0)
    paced = batch_budget(equal_problem(), at(0.5), plan, here)
    assert paced.usd == pytest.approx(1.0)
    assert paced.price == np.inf
    assert "cheapest assignment" in paced.why


def test_a_batch_over_the_cap_is_refused_with_the_amount() -> None:
    here = state(past(equal_problem(), 1, 99.5))
    with pytest.raises(PeriodExhausted, match=r"costs 1\.0.* USD, but the period has 0\.5 USD left.*at least 0\.5 USD"):
        batch_budget(equal_problem(), at(2), PeriodBudget(100.0), here)
    assert batch_budget(equal_problem(), at(2), PeriodBudget(100.0, hard_cap_usd=101.0), here).usd == pytest.approx(1.0)


def test_only_urgent_batches_may_use_the_reserve() -> None:
    here, plan = state(past(equal_problem(), 1, 89.5)), PeriodBudget(100.0, reserve=0.11)
    with pytest.raises(PeriodExhausted, match="kept for urgent batches"):
        batch_budget(equal_problem(), at(1.5), plan, here)
    assert batch_budget(equal_problem(), at(1.5), plan, here, urgent=True).usd >= 1.0


def test_an_urgent_batch_is_worth_more() -> None:
    problem = random_problem(5, 200)
    here = state(*daily_history(problem))
    plan = PeriodBudget(0.3 * 30 * float(problem.cost_matrix[:, 2].sum()))
    ordinary, urgent = (batch_budget(problem, at(3), plan, here, urgent=urgent) for urgent in (False, True))
    assert urgent.usd > 1.2 * ordinary.usd
    assert "urgent" in urgent.why
    equal = batch_budget(problem, at(3), replace(plan, urgent_worth=1.0), here, urgent=True)
    assert equal.usd == pytest.approx(ordinary.usd)


def test_the_least_a_batch_costs_is_judged_under_its_side_constraints() -> None:
    problem = replace(equal_problem(), max_share=[0.5, 1.0])
    here = state(*daily_history(equal_problem()))
    paced = batch_budget(problem, at(0.5), PeriodBudget(20.0), here)
    assert paced.usd == paced.least_usd == pytest.approx(5 * 0.1 + 5 * 1.1)
    allocate(replace(problem, budget=paced.usd))


def test_waiting_work_leaves_less_for_this_batch() -> None:
    problem, here = equal_problem(), state(*daily_history(equal_problem()))
    plan = PeriodBudget(150.0)
    alone, crowded = (batch_budget(problem, at(20), plan, here, waiting_instructions=w) for w in (0, 200))
    assert crowded.usd < alone.usd


def test_a_moment_outside_the_period_is_refused() -> None:
    for moment in (at(-1), END):
        with pytest.raises(InvalidInput, match="not in the period"):
            batch_budget(equal_problem(), moment, PeriodBudget(1.0), state())
    assert isinstance(batch_budget(equal_problem(), START, PeriodBudget(50.0), state()), PacedBudget)
