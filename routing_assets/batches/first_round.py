"""The first round of a batch that is looked at twice: who is asked first, and whose answer is looked at."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from routing_assets.allocation import AllocationProblem
from routing_assets.allocation.policies import DEFAULT_POLICY
from routing_assets.allocation.second_look import FirstRound, plan_first_round
from routing_assets.batches.policy import RoutingSettings
from routing_assets.batches.second_look_settings import SecondLookSettings
from routing_assets.foundation.errors import InvalidInput

if TYPE_CHECKING:  # torch loads with a second look, not with the definitions
    from routing_assets.prediction.second_look import BatchLooks, KeptSecondLook, SecondLook


@dataclass(frozen=True, eq=False)
class PlannedLooks:
    """A first round, and what is planned to follow it.

    Attributes:
        models: the K models.
        plan: the first models, and the allocation with its certificate over both rounds.
        first_success: (N,) probability of success of the first model alone.
        first_cost: (N,) USD of the first call.
        second_cost: (N,) USD that a second call is expected to cost; 0 where the answer is not looked at.
        about: what the summary of the decision says of it.
    """

    models: tuple[str, ...]
    plan: FirstRound
    first_success: np.ndarray
    first_cost: np.ndarray
    second_cost: np.ndarray
    about: dict[str, Any]


@dataclass(frozen=True, eq=False)
class LooksOfBatch:
    """Second looks by a posterior that knows some of the models of a batch.

    Attributes:
        looks: by the models that the posterior knows.
        columns: of these among the K models of the batch.
    """

    looks: BatchLooks
    columns: list[int]
    models: int

    def __call__(self, price: float, /) -> tuple[np.ndarray, np.ndarray]:
        """Value and usage in USD, each (N, J)."""
        return self.looks(price)

    def at(self, rows: np.ndarray, /) -> LooksOfBatch:
        """Looks at some of the instructions."""
        return replace(self, looks=self.looks.at(rows))

    def calls(self, price: float, /) -> np.ndarray:
        """(N, J, K) expected second calls."""
        known = self.looks.calls(price)
        calls = np.zeros((*known.shape[:2], self.models), dtype=known.dtype)
        calls[:, :, self.columns] = known
        return calls


def closed_to_all(problem: AllocationProblem) -> set[str]:
    """The models that no instruction may go to, such as those that lack a required tag."""
    if problem.allowed is None:
        return set()
    open_to_some = np.asarray(problem.allowed.any(axis=0))
    return {model for model, open in zip(problem.models or (), open_to_some, strict=True) if not open}


def constraints_of(problem: AllocationProblem) -> dict[str, Any]:
    """The constraints of a problem beside its budget and its forbidden pairs, as fields."""
    own = ("success", "cost", "budget", "models", "forbidden")
    given = {field.name: getattr(problem, field.name) for field in fields(problem) if field.name not in own}
    return {name: value for name, value in given.items() if value is not None and value != ()}


def plan_looks(
    problem: AllocationProblem,
    one_call: float,
    kept: KeptSecondLook | None,
    settings: RoutingSettings,
) -> PlannedLooks | str:
    """Plan both rounds within the budget of ``problem``; why one call is planned, in words, where it is.

    Args:
        problem: of one call per instruction.
        one_call: mean expected success of the best allocation of one call.
        kept: the second look of the router; None where it has none.
        settings: with ``second_look``.

    Raises:
        InvalidInput: second looks are demanded and cannot be planned.
    """
    wanted = SecondLookSettings.of(settings.second_look or {})
    why_not = _why_not(problem, kept, settings, wanted)
    if why_not and not wanted.only_where_it_pays:
        raise InvalidInput(
            f"second looks cannot be planned: {why_not}",
            source="second_look",
            remedy="Mend this, or set second_look: auto, which then plans one call.",
        )
    if why_not or kept is None:
        return why_not
    models, closed = tuple(problem.models or ()), closed_to_all(problem)
    look = _restricted(kept.second_look, wanted)
    look = look.without(closed) if closed else look
    columns = [models.index(model) for model in look.models]
    first = np.array([models.index(model) for model in look.first])
    cost = problem.cost_matrix
    plan = plan_first_round(
        problem.success,
        cost,
        problem.budget,
        LooksOfBatch(look.looks(problem.success[:, columns], cost[:, columns]), columns, len(models)),
        first,
        models=models,
        forbidden=problem.forbidden,
        constraints=constraints_of(problem),
    )
    if not plan.looked_at.any():
        return "no answer is worth a look at this budget"
    rows, allocation = np.arange(len(problem)), plan.allocation
    first_cost = cost[rows, plan.choice]
    planned = allocation.problem.chosen(allocation.problem.cost_matrix, allocation.choice)
    about = {
        "version": kept.version,
        "looked_at": int(plan.looked_at.sum()),
        "signals": list(look.signals),
        "after": list(look.first),
        "wait_hours": wanted.wait_hours,
        "expected_success_of_one_call": one_call,
    }
    # Rounded down, so that the sum of both columns keeps the budget as the plan does.
    second_cost = np.where(plan.looked_at, np.nextafter(planned - first_cost, 0.0), 0.0)
    return PlannedLooks(models, plan, problem.success[rows, plan.choice], first_cost, second_cost, about)


def _why_not(
    problem: AllocationProblem, kept: KeptSecondLook | None, settings: RoutingSettings, wanted: SecondLookSettings
) -> str:
    """Why second looks are not planned; empty where they are."""
    if settings.policy != DEFAULT_POLICY:
        return f"they are options of the policy {DEFAULT_POLICY}, and the policy is {settings.policy}"
    if kept is None:
        return "the labels of the router had no signals of answers that tell more than the instruction"
    look = kept.second_look
    if lacking := sorted(set(look.models) - set(problem.models or ())):
        return f"they rest on answers of {', '.join(lacking)}, which the router no longer knows"
    if wanted.signals is not None and (unknown := sorted(set(look.signals) - set(wanted.signals))):
        return f"the router reads {', '.join(unknown)} of an answer, and second_look.signals does not name it"
    if wanted.after is not None and not set(wanted.after) & set(look.first):
        return f"the answers of {', '.join(wanted.after)} tell nothing more than the instruction"
    if wanted.only_where_it_pays:
        fraction = problem.budget / float(problem.cost_matrix.sum(axis=0).max())
        gain = kept.gain_at(fraction)
        if gain is None:
            return f"at {fraction:.0%} of the dearest model's cost they were not tried on held-out instructions"
        if not gain.pays:
            return f"on {gain.unrelated} unrelated held-out instructions they gained {gain}: {gain.answer}"
    return ""


def _restricted(look: SecondLook, wanted: SecondLookSettings) -> SecondLook:
    return look if wanted.after is None else look.after_only(wanted.after)
