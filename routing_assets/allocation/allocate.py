"""Solve an allocation problem by a policy and certify the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from routing_assets.allocation.answer import Allocation
from routing_assets.allocation.carry_out import carry_out, keep_choice
from routing_assets.allocation.errors import InfeasibleConstraints
from routing_assets.allocation.mip import maximise_under_constraints
from routing_assets.allocation.parts import slices
from routing_assets.allocation.policies import DEFAULT_POLICY, POLICIES
from routing_assets.allocation.policy import PAIR_RULES, Options, Policy
from routing_assets.allocation.problem import AllocationProblem
from routing_assets.allocation.solver.source import Source
from routing_assets.foundation.errors import InvalidInput


def allocate(
    problem: AllocationProblem,
    policy: str = DEFAULT_POLICY,
    *,
    target: float = 0.75,
    seed: int = 0,
    exact: bool = False,
    time_limit_s: float = 60.0,
    relative_gap: float | None = None,
) -> Allocation:
    """Assign every instruction of the batch to one model without ever exceeding the budget in estimated cost.

    ``policy`` is a name in ``POLICIES``: ``threshold`` (with ``target``), ``ndch`` (random mixture, with ``seed``),
    ``ndch_p`` or ``mip``. ``mip`` maximises expected success under all constraints. It stops when the gap to its proven
    bound is at most ``relative_gap`` (default 1e-6; 1e-4 with side constraints on more than a few hundred pairs), or
    with ``exact`` at the optimum. If ``time_limit_s`` ends the search first, ``status`` says so.

    Raises :class:`InfeasibleBudget` or :class:`InfeasibleConstraints` with the reason.
    """
    chosen = named_policy(policy)
    if unsupported := chosen.unsupported(problem):
        raise InvalidInput(
            f"policy '{policy}' cannot keep {', '.join(unsupported)}", remedy=f"Use policy '{DEFAULT_POLICY}'"
        )
    refuse_hopeless_rows(problem)
    options = Options(target, seed, exact, time_limit_s, relative_gap)
    if problem.side_constraints:
        return maximise_under_constraints(problem, options)
    source = Source(
        slices(problem.success, problem.cost, problem.allowed),
        problem.n_models,
        seed,
        names=problem.models or (),
        whole=(problem.success, problem.cost_matrix, problem.allowed),
    )
    plan = chosen.plan(source, problem.budget, options)
    done = carry_out(source, plan, keep_choice)
    return Allocation(
        problem,
        np.concatenate([part.choice for part in done.answers]),
        policy,
        plan.status,
        done.expected_success,
        done.total_cost,
        max(done.expected_success, plan.bound),
        plan.price,
        prices={"budget": plan.price},
        binding=plan.binding,
        notes=done.notes,
    )


def named_policy(name: str) -> Policy:
    """Return the policy of this name. Raises :class:`InvalidInput` if there is none."""
    if name not in POLICIES:
        raise InvalidInput(f"unknown policy '{name}'", remedy=f"Known: {', '.join(POLICIES)}")
    return POLICIES[name]


def unsupported_constraints(problem: AllocationProblem, policy: str) -> tuple[str, ...]:
    """Return the constraints in use that a policy cannot keep, by their field names in the problem."""
    return named_policy(policy).unsupported(problem)


def refuse_hopeless_rows(problem: AllocationProblem) -> None:
    """Raise if an instruction has no allowed model, naming the rule that forbids all of its models, or both rules."""
    if problem.allowed is None or problem.allowed.any(axis=1).all():
        return
    alone = (
        (("forbidden",), replace(problem, max_latency=None)),
        (("max_latency",), replace(problem, forbidden=None)),
        (PAIR_RULES, problem),
    )
    for names, part in alone:
        hopeless = np.flatnonzero(~part.allowed.any(axis=1)) if part.allowed is not None else np.empty(0, int)
        if hopeless.size:
            raise InfeasibleConstraints(names, f"Row {hopeless[0]} is left without a model ({hopeless.size} such rows)")
