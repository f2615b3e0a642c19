"""The threshold policy: the cheapest model that is good enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from routing_assets.allocation.errors import InfeasibleBudget
from routing_assets.allocation.heuristic import certified
from routing_assets.allocation.policy import Options, Plan, Policy
from routing_assets.allocation.solver.exact import exact_sum, float_not_below, within
from routing_assets.allocation.solver.source import Arrays, Located, Source, joined

_BISECTIONS = 40


@dataclass(frozen=True)
class ThresholdRule:
    """Each row's cheapest model with success >= ``target``; if there is none, its most probable model."""

    target: float

    def of(self, first: int, rows: int) -> ThresholdRule:
        """Return the rule itself: it is the same for all rows."""
        return self

    def choose(self, first: int, arrays: Arrays) -> np.ndarray:
        """Return the model, (M,) int16, of each of M rows."""
        return _choose(arrays, self.target)[0].astype(np.int16)

    def notes(self, arrays: Arrays) -> Mapping[str, int]:
        """Return the number of instructions without a model that meets the target."""
        return {"no_model_met_target": int((~_choose(arrays, self.target)[1]).sum())}


def _plan(source: Source, budget: float, options: Options) -> Plan:
    target = affordable_target(source, budget, options.target)
    return certified(source, budget, ThresholdRule(target), {"target": target})


THRESHOLD = Policy(
    "threshold",
    "The cheapest model whose success reaches the target; the most probable one where none does.",
    _plan,
    ignores_side_constraints=True,
)


def affordable_target(source: Source, budget: float, target: float) -> float:
    """Return the target or, if its assignment exceeds the budget, a lower one that fits, found by bisection.

    At target 0 every instruction gets its cheapest model; a budget below that raises :class:`InfeasibleBudget`.
    """
    if source.rows > source.most_rows:
        return _by_sweeps(source, budget, target)
    rows = source.gathered()
    if within(_cost(rows, _choose(rows, target)[0]), budget):
        return target
    cheapest = _cost(rows, _choose(rows, 0.0)[0])
    if not within(cheapest, budget):
        raise InfeasibleBudget(budget, float_not_below(cheapest), policy=THRESHOLD.name)
    return _Bisection(rows, 0.0, target).go_on(_BISECTIONS, lambda cost: within(cost, budget)).low


@dataclass(frozen=True, eq=False)
class _Bisection:
    """Targets between ``low``, which fits a budget, and ``high``, which does not.

    A row with the same model at both ends has it at every target between them. Its cost is settled; only the other rows
    are looked at again.
    """

    rows: Arrays
    low: float
    high: float
    settled: Fraction = Fraction(0)

    def go_on(self, times: int, affordable: Callable[[Fraction], bool]) -> _Bisection:
        """Halve the range ``times`` times; ``affordable`` tells whether the middle's total cost fits."""
        rows, low, high, settled = self.rows, self.low, self.high, self.settled
        low_choice, high_choice = _choose(rows, low)[0], _choose(rows, high)[0]
        for _ in range(times):
            rows, low_choice, high_choice, settled = _unsettled(rows, low_choice, high_choice, settled)
            middle = (low + high) / 2
            choice = _choose(rows, middle)[0]
            if affordable(settled + _cost(rows, choice)):
                low, low_choice = middle, choice
            else:
                high, high_choice = middle, choice
        rows, _, _, settled = _unsettled(rows, low_choice, high_choice, settled)
        return _Bisection(rows, low, high, settled)


def _unsettled(
    rows: Arrays, low_choice: np.ndarray, high_choice: np.ndarray, settled: Fraction
) -> tuple[Arrays, np.ndarray, np.ndarray, Fraction]:
    """Return the rows whose models differ between the ends, these models, and the cost of all other rows."""
    success, cost, allowed = rows
    same = low_choice == high_choice
    settled += exact_sum(cost[same, low_choice[same]])
    rest = success[~same], cost[~same], None if allowed is None else allowed[~same]
    return rest, low_choice[~same], high_choice[~same], settled


@dataclass(frozen=True, eq=False)
class _Walk:
    """Exact costs along a guessed bisection, ``ends`` first, and the rows that are unsettled at its end."""

    ends: tuple[Fraction, Fraction]
    costs: list[Fraction]
    left: _Bisection


def _by_sweeps(source: Source, budget: float, target: float) -> float:
    """Bisect as in memory. A sample guesses the next halvings, and one sweep computes the exact costs of them all."""
    low, high, done = 0.0, target, 0
    while done < _BISECTIONS:
        turns, end = _guess(source, budget, low, high, _BISECTIONS - done)
        (cost_low, cost_high), costs, settled, rows = _walked(source, low, high, turns)
        if done == 0 and within(cost_high, budget):
            return target
        if done == 0 and not within(cost_low, budget):
            raise InfeasibleBudget(budget, float_not_below(cost_low), policy=THRESHOLD.name)
        for guessed, cost in zip(turns, costs, strict=True):
            middle, fits, done = (low + high) / 2, within(cost, budget), done + 1
            low, high = (middle, high) if fits else (low, middle)
            if fits != guessed:
                break
        if (low, high) == end and rows is not None:
            rest = _Bisection(rows, low, high, settled)
            return rest.go_on(_BISECTIONS - done, lambda cost: within(cost, budget)).low
    return low


def _guess(
    source: Source, budget: float, low: float, high: float, times: int
) -> tuple[list[bool], tuple[float, float]]:
    """Guess by the sample which of the next middles fit, until the unsettled rows fit in memory; also the last ends."""
    sample = source.sample
    share = len(sample[0]) / source.rows
    turns: list[bool] = []
    left = _Bisection(sample, low, high)
    while len(turns) < times:
        left = left.go_on(1, lambda cost: float(cost) <= budget * share)
        turns.append(left.low > low)
        low = left.low
        if len(left.rows[0]) <= share * source.most_rows / 2:
            break
    return turns, (left.low, left.high)


def _walked(
    source: Source, low: float, high: float, turns: Sequence[bool]
) -> tuple[tuple[Fraction, Fraction], list[Fraction], Fraction, Arrays | None]:
    """Sweep along guessed halvings: costs at both ends and all middles, settled cost, unsettled rows if they fit."""
    cost_low, cost_high, settled = Fraction(0), Fraction(0), Fraction(0)
    costs, count = [Fraction(0)] * len(turns), 0
    rows: list[Arrays] = []
    for walk in source.sweep(_walk_part, low, high, turns):
        cost_low, cost_high = cost_low + walk.ends[0], cost_high + walk.ends[1]
        costs = [total + own for total, own in zip(costs, walk.costs, strict=True)]
        settled += walk.left.settled
        count += len(walk.left.rows[0])
        rows = [*rows, walk.left.rows] if count <= source.most_rows else []
    return (cost_low, cost_high), costs, settled, joined(rows) if count <= source.most_rows else None


def _walk_part(located: Located, low: float, high: float, turns: Sequence[bool]) -> _Walk:
    rows, costs = located.read(), []

    def turn(cost: Fraction) -> bool:
        costs.append(cost)
        return turns[len(costs) - 1]

    ends = _cost(rows, _choose(rows, low)[0]), _cost(rows, _choose(rows, high)[0])
    return _Walk(ends, costs, _Bisection(rows, low, high).go_on(len(turns), turn))


def _choose(rows: Arrays, target: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the chosen column of each row, and whether it meets the target."""
    success, cost, allowed = rows
    if allowed is not None:
        success = np.where(allowed, success, -1.0)
    qualified = (success >= target) & (success >= 0)
    # The cheapest; of equally cheap columns the most probable; of equal ones the first.
    price = np.where(qualified, cost, np.inf)
    cheapest = np.where(price == price.min(axis=1, keepdims=True), success, -2.0).argmax(axis=1)
    best = np.where(success == success.max(axis=1, keepdims=True), cost, np.inf).argmin(axis=1)
    met = np.asarray(qualified.any(axis=1))
    return np.where(met, cheapest, best), met


def _cost(rows: Arrays, choice: np.ndarray) -> Fraction:
    return exact_sum(rows[1][np.arange(len(choice)), choice])
