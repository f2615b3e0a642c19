"""What makes an allocation impossible, and what would make it possible."""

from __future__ import annotations

from routing_assets.foundation.errors import InvalidInput


class InfeasibleAllocation(ValueError):
    """No assignment of the whole batch keeps every constraint."""


class InfeasibleBudget(InfeasibleAllocation):
    """The budget cannot pay for the batch.

    ``budget`` is what was given, ``cheapest_budget`` the USD with which the same problem can be solved (a float,
    rounded up so that it suffices exactly), ``constraints`` the names of the other constraints it was found under.
    """

    def __init__(
        self, budget: float, cheapest_budget: float, *, policy: str = "mip", constraints: tuple[str, ...] = ()
    ) -> None:
        self.budget, self.cheapest_budget = budget, cheapest_budget
        self.policy, self.constraints = policy, constraints
        under = f" under {', '.join(constraints)}" if constraints else ""
        super().__init__(
            f"a budget of {budget!r} USD cannot pay for the batch with policy '{policy}'{under}: "
            f"the cheapest feasible budget is {cheapest_budget!r} USD"
        )


class InfeasibleConstraints(InfeasibleAllocation):
    """Some constraints contradict each other whatever the budget.

    ``conflict`` names a minimal set of them: dropping any one of the set lifts this contradiction.
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
    """The time limit ended the search before an assignment was found or ruled out."""


class TooManyRows(InvalidInput):
    """A batch under constraints that are solved in memory, and that would not fit there.

    ``rows`` is what was given, ``fit`` how many rows of as many models fit.
    """

    def __init__(self, rows: int, fit: int, columns: int, constraints: tuple[str, ...], memory_bytes: int) -> None:
        self.rows, self.fit = rows, fit
        super().__init__(
            f"{rows} instructions under {', '.join(constraints)} do not fit in {memory_bytes / 2**30:g} GiB: these "
            f"constraints tie all instructions together, so that all pairs of instruction and model must be in memory, "
            f"and with {columns} models {fit} instructions fit",
            remedy="Drop these constraints, split the batch, or allow more memory",
        )
