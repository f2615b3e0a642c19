"""One budget, one choice per row: the multiple-choice knapsack, at any size, from memory or from a stream of chunks.

The dual of  max sum v[i, x_i]  s.t.  sum w[i, x_i] <= B  is one price p:

    L(p) = p B + sum_i max_k (v[i, k] - p w[i, k])  >=  optimum   for every p >= 0,

and at the best price the rows' maximisers fill the budget up to a single row. A seeded sample brackets that price; one
pass over the data then settles every row whose maximiser is the same at both ends of the bracket (v - p w is linear in
p, so it stays the maximiser between them), and only the few other rows, the *window*, are solved exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from routing_assets.allocation.solver.bracket import narrowed
from routing_assets.allocation.solver.exact import exact_sum, within
from routing_assets.allocation.solver.fill_slack import Effort, fill_slack, thinned
from routing_assets.allocation.solver.hull import hull_steps
from routing_assets.allocation.solver.scan import Chunk, Scan, alternatives, scan

_STATES, _EXACT_STATES = 1 << 12, 1 << 20
_COPIES = 2  # rows with the very same moves; more of them would only fill the search with repetitions
_WORK = 1 << 21  # states: under a second, and unlike a clock the same on every machine


@dataclass(frozen=True, eq=False)
class KnapsackAnswer:
    """A feasible choice, the price that supports it, and the bound that certifies it."""

    choice: np.ndarray
    value: float
    weight: Fraction
    price: float
    """Value per unit of weight at the margin; 0 where the capacity does not bind."""
    loss: float
    """How much more total value any choice could have, at most."""
    proven: bool
    """Nothing better exists, to float resolution."""


class CapacityTooSmall(Exception):
    """Even the lightest choice exceeds the capacity; ``least`` is what it weighs."""

    def __init__(self, least: Fraction) -> None:
        super().__init__(str(float(least)))
        self.least = least


def solve_knapsack(
    chunks: Iterable[Chunk],
    n: int,
    capacity: Fraction | float,
    bracket: tuple[float, float],
    *,
    relative_gap: float,
    time_limit_s: float,
    dtype: np.dtype,
    max_window: int,
) -> KnapsackAnswer:
    """Maximise the value of one column per row with total weight <= ``capacity``, compared exactly.

    ``chunks`` must be iterable again and again and give the same ``n`` rows. ``bracket`` is a guess of the price's
    range, (0, inf) where there is none. ``relative_gap`` 0 asks for the optimum. Of the window ``max_window`` rows are
    held in memory, more only where so many rows are tied at one price that no bracket separates them.
    """
    deadline = time.monotonic() + time_limit_s
    low, high = bracket
    while True:
        found = scan(chunks, n, low, high, dtype, max_window)
        if not within(found.weight, capacity):
            if math.isinf(high):
                raise CapacityTooSmall(found.weight)
            low, high = (high, math.inf) if low > 0 else (0.0, math.inf)
        elif low > 0 and found.low_price_weight < capacity:
            low, high = (0.0, low) if math.isfinite(high) else (0.0, math.inf)
        elif found.overflowed:
            narrower = narrowed(found, low, high, float(capacity))
            max_window = n if narrower == (low, high) else max_window
            low, high = narrower
        else:
            break
    position = _take_steps(found, low, capacity)
    return _fill_slack(
        position, chunks, found, capacity, relative_gap * abs(position.value), deadline, (low, high) == (0.0, math.inf)
    )


@dataclass(frozen=True, eq=False)
class _Position:
    """Maximisers at ``price`` that keep the capacity."""

    choice: np.ndarray
    price: float
    value: float
    weight: Fraction


def _take_steps(found: Scan, low: float, capacity: Fraction | float) -> _Position:
    """Take the window's most efficient steps as far as the capacity lasts (Sinha & Zoltners 1979)."""
    start, w = found.choice[found.window], found.window_weight
    steps = hull_steps(found.window_value, w, start, low)
    room = math.inf if math.isinf(capacity) else float(Fraction(capacity) - found.weight)
    taken = min(int(np.searchsorted(np.cumsum(steps.weight), room, side="right")) + 1, len(steps))
    while True:  # the float sums may be an ulp out: one step more is tried
        after = start.copy()
        after[steps.row[:taken]] = steps.after[:taken]
        moved = np.flatnonzero(after != start)
        weight = found.weight + exact_sum(w[moved, after[moved]]) - exact_sum(w[moved, start[moved]])
        if within(weight, capacity):
            break
        taken -= 1
    choice = found.choice
    choice[found.window] = after
    price = float(steps.efficiency[taken]) if taken < len(steps) else low
    return _Position(choice, price, found.value + float(steps.value[:taken].sum()), weight)


def _fill_slack(
    position: _Position,
    chunks: Iterable[Chunk],
    found: Scan,
    capacity: Fraction | float,
    enough: float,
    deadline: float,
    window_is_all: bool,
) -> KnapsackAnswer:
    """Use the slack that the break step left: in the window, and where the optimum is asked for among all rows.

    A window of the bracket (0, inf) is all there is: its other rows' cheapest model is their best.
    """
    choice, price = position.choice, position.price
    if price == 0:
        return KnapsackAnswer(choice, position.value, position.weight, 0.0, 0.0, proven=True)
    slack = Fraction(capacity) - position.weight
    loss = price * float(slack)
    bound = position.value + loss
    answer = KnapsackAnswer(choice, position.value, position.weight, price, loss, proven=loss == 0)
    window: Chunk = (found.window_value, found.window_weight, None)
    quick, thorough = Effort(_STATES, _WORK, deadline), Effort(_EXACT_STATES, math.inf, deadline)
    for source, rows, effort in (([window], found.window, quick), (chunks, None, thorough)):
        if answer.loss <= enough or answer.proven or (effort is thorough and enough > 0):
            break
        options = alternatives(source, choice if rows is None else choice[rows], price, below=answer.loss)
        everything = len(options.row)
        if effort is quick:
            options = thinned(options, _COPIES)
        filling = fill_slack(options, slack, price, best=answer.loss, enough=enough, effort=effort)
        proven = filling.complete and len(options.row) == everything and (rows is None or window_is_all)
        if not filling.row.size:
            answer = replace(answer, proven=proven)
            continue
        filled = choice.copy()
        filled[filling.row if rows is None else rows[filling.row]] = filling.column
        weight = position.weight + filling.weight
        answer = KnapsackAnswer(filled, bound - filling.loss, weight, price, filling.loss, proven)
    return answer
