"""Errors of allocation: why a batch cannot be allocated, and what would help."""

from __future__ import annotations

from decimal import ROUND_CEILING, Context

from routing_assets.foundation.errors import InvalidInput


class InfeasibleAllocation(ValueError):
    """No assignment of the whole batch keeps every constraint."""


class InfeasibleBudget(InfeasibleAllocation):
    """The budget cannot pay for the batch.

    ``budget`` is the given one. ``cheapest_budget``, in USD and rounded up to a float, suffices for the same problem.
    ``constraints`` names the other constraints under which it was found.
    """

    def __init__(
        self, budget: float, cheapest_budget: float, *, policy: str = "mip", constraints: tuple[str, ...] = ()
    ) -> None:
        self.budget, self.cheapest_budget = budget, cheapest_budget
        self.policy, self.constraints = policy, constraints
        under = f" under {', '.join(constraints)}" if constraints else ""
        super().__init__(
            f"a budget of {budget:.6g} USD cannot pay for the batch with policy '{policy}'{under}: "
            f"the cheapest feasible budget is {_rounded_up(cheapest_budget)} USD"
        )


def _rounded_up(usd: float) -> float:
    """Six significant digits, never less than ``usd``, so that it suffices when it is typed in."""
    return float(Context(prec=6, rounding=ROUND_CEILING).create_decimal(repr(usd)))


class InfeasibleConstraints(InfeasibleAllocation):
    """Some constraints contradict each other, whatever the budget.

    ``conflict`` names a minimal set of them: without any one of these, the others can hold together.
    """

    def __init__(self, conflict: tuple[str, ...], detail: str = "") -> None:
        self.conflict = conflict
        super().__init__(
            f"these constraints cannot hold together: {'; '.join(conflict)}. {detail or 'Relax or drop one of them'}"
        )


class InfeasibleTarget(InfeasibleAllocation):
    """No budget reaches the wanted mean success; ``best`` is the greatest mean that can be reached."""

    def __init__(self, mean_success: float, best: float) -> None:
        self.mean_success, self.best = mean_success, best
        super().__init__(f"a mean success of {mean_success!r} is out of reach at any budget: the best is {best!r}")


class UndecidedAllocation(RuntimeError):
    """The time limit was reached before an assignment was found or shown not to exist."""


class TooManyRows(InvalidInput):
    """A batch with side constraints does not fit in memory, where they must be solved.

    ``rows`` is the given number of rows; ``fit`` is how many would fit with this number of models.
    """

    def __init__(self, rows: int, fit: int, columns: int, constraints: tuple[str, ...], memory_bytes: int) -> None:
        self.rows, self.fit = rows, fit
        super().__init__(
            f"{rows} instructions under {', '.join(constraints)} do not fit in {memory_bytes / 2**30:g} GiB: these "
            f"constraints tie all instructions together, so that all pairs of instruction and model must be in memory, "
            f"and with {columns} models {fit} instructions fit",
            remedy="Drop these constraints, split the batch, or allow more memory",
        )
