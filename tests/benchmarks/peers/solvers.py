"""The article's literal integer program by SCIP, HiGHS and CP-SAT, against our allocation of the same matrices.

    python -m tests.benchmarks.peers.solvers [--sizes 1000x8 10000x16 100000x16] [--limit 60]

Every answer is made in a process of its own, on one thread. Its objective and its cost are computed anew from its
choices, in exact arithmetic where the budget is concerned. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from ortools.linear_solver.python import model_builder

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.allocation.solver.exact import exact_sum

SOLVERS = {"SCIP": ("scip", ""), "HiGHS": ("highs", ""), "CP-SAT": ("sat", "num_workers: 1")}
"""Names and parameters in ortools; what is not given has its default."""
OURS = "ours"
BUCKETS = 10
BUDGET = 0.5
"""Of what the dearest model costs for all instructions."""
PATIENCE = 5
"""Limits after which a solver that does not keep its limit is ended, the time to build the model included."""


@dataclass(frozen=True)
class Answer:
    """``objective`` in expected successes, ``bound`` as the solver gives it; NaN where it found no assignment."""

    objective: float
    bound: float
    over_budget: Fraction
    build: float
    """Seconds of the processor."""
    solve: float
    peak_mib: float
    status: str


def problem_of(n: int, k: int, seed: int = 0) -> AllocationProblem:
    """Calibrated probabilities, ``BUCKETS`` values per model, and a price of each pair: longer texts cost more."""
    rng = np.random.default_rng(seed)
    skill, price = np.sort(rng.uniform(0.3, 0.9, k)), np.linspace(0.2, 2.2, k) * 5e-4
    raw = np.clip(skill + rng.normal(0, 0.15, (n, 1)) + rng.normal(0, 0.12, (n, k)), 0, 1 - 1e-9)
    bucket = (raw * BUCKETS).astype(int)
    success = np.empty_like(raw)
    for model in range(k):
        count = np.maximum(np.bincount(bucket[:, model], minlength=BUCKETS), 1)
        success[:, model] = (np.bincount(bucket[:, model], raw[:, model], BUCKETS) / count)[bucket[:, model]]
    cost = price * rng.lognormal(0, 0.4, (n, 1))
    return AllocationProblem(success, cost, BUDGET * float(cost.sum(axis=0).max()))


def answer(solver: str, n: int, k: int, limit: float) -> Answer:
    problem = problem_of(n, k)
    start = time.process_time()
    if solver == OURS:
        ours = allocate(problem)
        bound, choice, status, built = ours.upper_bound * n, ours.choice, ours.status, start
    else:
        model, x = literal_model(problem)
        built = time.process_time()
        bound, choice, status = solved(solver, model, x, limit)
    seconds, peak = time.process_time() - built, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    objective, over = float("nan"), Fraction(0)
    if choice is not None:
        rows = np.arange(n)
        objective = float(problem.success[rows, choice].sum(dtype=np.float64))
        over = max(Fraction(0), exact_sum(problem.cost_matrix[rows, choice]) - Fraction(problem.budget))
    return Answer(objective, bound, over, built - start, seconds, peak, status)


def literal_model(problem: AllocationProblem) -> tuple[model_builder.Model, list[list[model_builder.Variable]]]:
    """Maximise the expected successes; one model per instruction; the budget."""
    model, total = model_builder.Model(), model_builder.LinearExpr.weighted_sum
    n, k = problem.success.shape
    x = [[model.new_bool_var("") for _ in range(k)] for _ in range(n)]
    flat = [variable for row in x for variable in row]
    for row in x:
        model.add(model_builder.LinearExpr.sum(row) == 1)
    model.add(total(flat, problem.cost_matrix.ravel().tolist()) <= problem.budget)
    model.maximize(total(flat, np.asarray(problem.success, np.float64).ravel().tolist()))
    return model, x


def solved(
    name: str, model: model_builder.Model, x: list[list[model_builder.Variable]], limit: float
) -> tuple[float, np.ndarray | None, str]:
    """Bound, choices (n,) or None, and status."""
    backend, parameters = SOLVERS[name]
    solver = model_builder.Solver(backend)
    solver.set_time_limit_in_seconds(limit)
    if parameters:
        solver.set_solver_specific_parameters(parameters)
    status = solver.solve(model)
    if status not in (model_builder.SolveStatus.OPTIMAL, model_builder.SolveStatus.FEASIBLE):
        return solver.best_objective_bound, None, status.name.lower()
    values = np.array([[solver.value(variable) for variable in row] for row in x])
    return solver.best_objective_bound, values.argmax(axis=1), status.name.lower()


def within_patience(solver: str, n: int, k: int, limit: float) -> Answer:
    """In a process of its own, which is ended after ``PATIENCE`` limits."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            return pool.apply_async(answer, (solver, n, k, limit)).get(PATIENCE * limit)
        except multiprocessing.TimeoutError:
            nothing = float("nan")
            return Answer(
                nothing, nothing, Fraction(0), nothing, nothing, nothing, f"ended after {PATIENCE * limit:g} s"
            )


def row(size: str, solver: str, found: Answer, best: float) -> str:
    short, claimed = (best - found.objective) / best, (found.bound - found.objective) / found.objective
    over = f"{float(found.over_budget):.1e}" if found.over_budget else "no"
    cells = (size, solver, f"{found.objective:,.4f}", f"{short:.1e}", f"{claimed:.1e}", over)
    seconds = f"{found.build:.2f} | {found.solve:.2f} | {found.peak_mib:,.0f}"
    return f"| {' | '.join(cells)} | {seconds} | {found.status} |".replace("nan", "–")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["1000x8", "10000x16", "100000x16"])
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of the clock for solving")
    options = parser.parse_args()
    lines = [
        f"Budget {BUDGET:.0%} of the dearest model; probabilities in {BUCKETS} buckets per model, prices per pair; "
        f"one thread; {options.limit:g} s of the clock to solve. Backends and parameters in ortools: {SOLVERS}; all "
        "else at its default.",
        "",
        "| instructions x models | solver | expected successes | short of the best | gap it claims | over budget, USD "
        "| build, processor s | solve, processor s | peak MiB | status |",
        "|---" * 10 + "|",
    ]
    for size in options.sizes:
        n, k = (int(part) for part in size.split("x"))
        answers = {solver: within_patience(solver, n, k, options.limit) for solver in (OURS, *SOLVERS)}
        best = max(found.objective for found in answers.values() if np.isfinite(found.objective))
        lines += [row(size, solver, found, best) for solver, found in answers.items()]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
