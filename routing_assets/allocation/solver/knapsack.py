"""One budget, one choice per row: the multiple-choice knapsack, at any size, over parts that are swept one by one.

The dual of  max sum v[i, x_i]  s.t.  sum w[i, x_i] <= B  is one price p:

    L(p) = p B + sum_i max_k (v[i, k] - p w[i, k])  >=  optimum   for every p >= 0,

and at the best price the rows' maximisers fill the budget up to a single row. A seeded sample brackets that price; one
sweep over the data then settles every row whose maximiser is the same at both ends of the bracket (v - p w is linear in
p, so it stays the maximiser between them), and only the few other rows, the *window*, are solved exactly.

All totals are exact sums, so the answer is the same, bit for bit, for any division into parts and any engine.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from routing_assets.allocation.solver.bracket import (
    EVERYTHING,
    Bracket,
    above,
    below,
    bracket_price,
    narrowed,
    with_ties,
)
from routing_assets.allocation.solver.exact import exact_sum, within
from routing_assets.allocation.solver.fill_slack import Effort, fill_slack, thinned
from routing_assets.allocation.solver.hull import hull_steps
from routing_assets.allocation.solver.rules import PriceRule
from routing_assets.allocation.solver.scan import Alternatives, Scan, all_alternatives, alternatives, scan
from routing_assets.allocation.solver.source import Located, Source, masked

_STATES, _EXACT_STATES = 1 << 12, 1 << 20
_COPIES = 2  # of rows with identical moves; more of them would only repeat the search
_WORK = 1 << 21  # states: under a second, and unlike a time limit the same on every machine


@dataclass(frozen=True, eq=False)
class KnapsackAnswer:
    """A feasible choice, the price that supports it, and the bound that certifies it."""

    rule: PriceRule
    """The column of every row."""
    value: Fraction
    weight: Fraction
    price: float
    """Value per unit of weight at the margin; 0 where the capacity does not bind."""
    loss: float
    """Upper bound of the total value that any other choice could add."""
    proven: bool
    """Whether no better choice exists, to float resolution."""


class CapacityTooSmall(Exception):
    """Even the lightest choice exceeds the capacity; ``least`` is what it weighs."""

    def __init__(self, least: Fraction) -> None:
        super().__init__(str(float(least)))
        self.least = least


def solve_knapsack(
    source: Source, capacity: Fraction | float, *, relative_gap: float, time_limit_s: float = math.inf
) -> KnapsackAnswer:
    """Maximise the value of one column per row with total weight <= ``capacity``, compared exactly.

    ``relative_gap`` 0 asks for the optimum. Raises :class:`CapacityTooSmall`.
    """
    deadline = time.monotonic() + time_limit_s
    found, position = _search(source, capacity)
    return _fill_slack(source, found, position, capacity, relative_gap * abs(float(position.value)), deadline)


def _search(source: Source, capacity: Fraction | float) -> tuple[Scan, KnapsackAnswer]:
    """Sweep until a bracket holds the price and its window fits in memory; return the scan and the answer in it."""
    bracket, outer = first_bracket(source, capacity), None
    while True:
        found = scan(source, bracket)
        if not within(found.weight, capacity):
            if math.isinf(bracket.high) and not bracket.among_rows:
                raise CapacityTooSmall(found.weight)
            bracket = above(bracket, outer)
            outer = outer and bracket
        elif bracket.low > 0 and found.low_price_weight < capacity:
            bracket = below(bracket, outer)
            outer = outer and bracket
        elif found.overflowed:
            outer, bracket = bracket, narrowed(found, source.rows, float(capacity))
        else:
            position = _take_steps(found, capacity)
            if position is not None:
                return found, position
            bracket = with_ties(bracket)


def first_bracket(source: Source, capacity: Fraction | float) -> Bracket:
    """Return the sample's estimate of where the price lies; ``EVERYTHING`` where there is no sample."""
    if math.isinf(capacity):
        return EVERYTHING
    value, weight, allowed = source.sample
    if not len(value):
        return EVERYTHING
    return Bracket(*bracket_price(masked(value, allowed), weight, source.rows, float(capacity)))


def _take_steps(found: Scan, capacity: Fraction | float) -> KnapsackAnswer | None:
    """Take the window's most efficient steps while they fit the capacity (Sinha & Zoltners 1979).

    None where they all fit and capacity is left: then steps whose efficiency equals the low price may fit too.
    """
    window, low = found.window, found.bracket.low
    start, w = window.column_at_high.astype(np.intp), window.weight
    steps = hull_steps(window.value, w, start, low)
    room = math.inf if math.isinf(capacity) else float(Fraction(capacity) - found.weight)
    taken = min(int(np.searchsorted(np.cumsum(steps.weight), room, side="right")) + 1, len(steps))
    while True:  # float sums may be an ulp off, so one step more is tried
        after = start.copy()
        after[steps.row[:taken]] = steps.after[:taken]
        moved = np.flatnonzero(after != start)
        weight = found.weight + exact_sum(w[moved, after[moved]]) - exact_sum(w[moved, start[moved]])
        if within(weight, capacity):
            break
        taken -= 1
    if taken == len(steps) and low > 0 and weight < capacity:
        return None
    v = window.value
    value = found.value + exact_sum(v[moved, after[moved]]) - exact_sum(v[moved, start[moved]])
    price = float(steps.efficiency[taken]) if taken < len(steps) else low
    rule = PriceRule(found.bracket, window.row, after.astype(np.int16))
    return KnapsackAnswer(rule, value, weight, price, 0.0, proven=True)


def _fill_slack(
    source: Source,
    found: Scan,
    position: KnapsackAnswer,
    capacity: Fraction | float,
    enough: float,
    deadline: float,
) -> KnapsackAnswer:
    """Use the slack that the break step left: by rows of the window or, where the optimum is asked for, by all rows.

    With the bracket (0, inf) the window has all rows that can gain: for the others the cheapest model is the best.
    """
    price, bracket = position.price, found.bracket
    if price == 0:
        return position
    slack = Fraction(capacity) - position.weight
    loss = price * float(slack)
    answer = replace(position, loss=loss + bracket.lost, proven=loss + bracket.lost == 0)
    quick, thorough = Effort(_STATES, _WORK, deadline), Effort(_EXACT_STATES, math.inf, deadline)
    for effort in (quick, thorough):
        best = answer.loss - bracket.lost
        if answer.loss <= enough or answer.proven or (effort is thorough and enough > 0):
            break
        if effort is quick:
            found_all, options = bracket == EVERYTHING, _in_window(found, position, best)
            everything, options = len(options.row), thinned(options, _COPIES)
            found_all = found_all and len(options.row) == everything
        else:
            found_all, options = _in_all_rows(source, position, best)
        filling = fill_slack(options, slack, price, best=best, enough=enough - bracket.lost, effort=effort)
        proven = filling.complete and found_all and bracket.lost == 0
        if not filling.row.size:
            answer = replace(answer, proven=proven)
            continue
        rule = position.rule.changed(filling.row, filling.column)
        value, weight = position.value + filling.value, position.weight + filling.weight
        answer = KnapsackAnswer(rule, value, weight, price, filling.loss + bracket.lost, proven)
    return answer


def _in_window(found: Scan, position: KnapsackAnswer, below: float) -> Alternatives:
    """Collect the alternatives of the window's rows, by row number."""
    window = found.window
    options = alternatives((window.value, window.weight, None), position.rule.columns, position.price, below)
    return all_alternatives([replace(options, row=window.row[options.row])])


def _in_all_rows(source: Source, position: KnapsackAnswer, below: float) -> tuple[bool, Alternatives]:
    """Sweep for the alternatives of all rows. Return those with the least loss, and whether they are all."""
    rules = [position.rule.of(part.first, part.part.rows) for part in source.located]
    everything, kept = 0, []
    for part in source.sweep(_alternatives_part, position.price, below, given=rules):
        everything += len(part.row)
        kept.append(part)
        if sum(len(part.row) for part in kept) > 2 * source.most_rows:
            kept = [all_alternatives(kept).at(slice(source.most_rows))]
    options = all_alternatives(kept).at(slice(source.most_rows))
    return len(options.row) == everything, options


def _alternatives_part(located: Located, price: float, below: float) -> Alternatives:
    arrays = located.read()
    options = alternatives(arrays, located.given.choose(located.first, arrays), price, below)
    return replace(options, row=located.first + options.row)
