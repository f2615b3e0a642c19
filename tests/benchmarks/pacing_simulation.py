"""A simulated month of batches, routed under one budget by pacing and by its alternatives.

Run ``python tests/benchmarks/pacing_simulation.py FIGURE.png`` for the table and the figure. Everything here is
simulated: batches differ in size (log-normal, 30 % growth a month, quiet weekends, bursts) and kind (easy, mixed,
steep, hopeless; the mix drifts toward steep); probabilities are estimated with noise and outcomes are drawn from the
true ones. Every policy allocates a batch with the same solver on the same estimates; they differ in its budget only.
The offline optimum solves all batches of the month as one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.allocation.solver.exact import exact_sum
from routing_assets.pacing import (
    PacingState,
    PastBatch,
    PeriodBudget,
    PeriodExhausted,
    SpendCurve,
    batch_budget,
    spend_curve,
)

DAYS = 30
START = datetime(2026, 6, 1)
END = START + timedelta(days=DAYS)
USD_PER_CALL = np.array([0.0004, 0.0012, 0.003, 0.01])
# Per kind of batch: the logit of success of each model, and the spread of difficulty within a batch.
KINDS = {
    "easy": ((1.8, 2.2, 2.6, 3.0), 0.8),
    "mixed": ((-0.3, 0.5, 1.2, 1.8), 1.5),
    "steep": ((-2.0, -1.0, 0.5, 2.2), 1.0),
    "hopeless": ((-3.0, -2.8, -2.5, -2.2), 1.0),
}


@dataclass(frozen=True, eq=False)
class Batch:
    at: datetime
    estimate: np.ndarray
    """(n, K) estimated probability of success."""
    outcome: np.ndarray
    """(n, K) bool, drawn from the true probability."""
    cost: np.ndarray
    """(n, K) USD."""
    curve: SpendCurve

    def problem(self, budget: float) -> AllocationProblem:
        return AllocationProblem(self.estimate, self.cost, budget)


def month(rng: np.random.Generator, start: datetime, batches: int, mean_size: float) -> list[Batch]:
    """One month of ``batches`` batches in order of arrival."""
    days = np.arange(DAYS)
    weekday = np.array([(start + timedelta(days=int(day))).weekday() for day in days])
    chance = np.where(weekday < 5, 1.0, 0.25)
    day = rng.choice(days, batches, p=chance / chance.sum())
    at = np.sort(day + rng.beta(4, 4, batches))
    size = rng.lognormal(np.log(mean_size) - 0.5, 1.0, batches) * (1 + 0.3 * (at / DAYS - 0.5))
    for burst in rng.choice(batches - 5, 4, replace=False):  # five batches of fourfold size within the hour
        at[burst : burst + 5] = at[burst] + np.arange(5) / 120
        size[burst : burst + 5] *= 4
    order = np.argsort(at)
    return [_batch(rng, start, at[i], max(5, round(size[i]))) for i in order]


def _batch(rng: np.random.Generator, start: datetime, at: float, n: int) -> Batch:
    steeper = 0.3 * at / DAYS
    kind = rng.choice(list(KINDS), p=[0.4 - steeper, 0.3, 0.15 + steeper, 0.15])
    ability, spread = KINDS[kind]
    logit = np.array(ability) + rng.normal(0, 0.5) - spread * rng.normal(size=(n, 1)) + 0.3 * rng.normal(size=(n, 4))
    estimate = 1 / (1 + np.exp(-(logit + rng.normal(0, 0.5, logit.shape))))
    outcome = rng.random(logit.shape) < 1 / (1 + np.exp(-logit))
    cost = USD_PER_CALL * rng.lognormal(0, 0.6) * rng.lognormal(0, 0.4, (n, 1))
    curve = spend_curve(AllocationProblem(estimate, cost, np.inf))
    return Batch(start + timedelta(days=float(at)), estimate, outcome, cost, curve)


@dataclass(frozen=True, eq=False)
class Month:
    """Realised successes (B,) and spend (B,) in USD of one policy; NaN USD where a batch found the money gone."""

    success: np.ndarray
    usd: np.ndarray


def follow(batches: list[Batch], budgets: Callable[[int, float], float]) -> Month:
    """Route batch after batch; ``budgets(i, spent)`` is called in order of arrival."""
    success, usd = np.zeros(len(batches)), np.zeros(len(batches))
    for i, batch in enumerate(batches):
        allocation = allocate(batch.problem(budgets(i, float(usd[:i].sum()))))
        success[i] = batch.outcome[np.arange(len(batch.cost)), allocation.choice].sum()
        usd[i] = allocation.total_cost
    return Month(success, usd)


def paced(batches: list[Batch], plan: PeriodBudget, history: list[Batch]) -> Month:
    """What the product does; ``history`` is the month before."""
    past = [PastBatch(batch.at, 0.0, batch.curve.thinned()) for batch in history]
    success, usd = np.zeros(len(batches)), np.full(len(batches), np.nan)
    for i, batch in enumerate(batches):
        try:
            budget = batch_budget(batch.problem(np.inf), batch.at, plan, PacingState(START, END, past))
        except PeriodExhausted:  # waits for the next month: no success in this one
            continue
        allocation = allocate(batch.problem(budget.usd))
        success[i] = batch.outcome[np.arange(len(batch.cost)), allocation.choice].sum()
        usd[i] = allocation.total_cost
        past.append(PastBatch(batch.at, allocation.total_cost, budget.curve))
    assert exact_sum(np.nan_to_num(usd)) <= plan.cap(0.0)
    return Month(success, usd)


def offline(batches: list[Batch], budget: float) -> Month:
    """All batches solved as one."""
    join = lambda name: np.concatenate([getattr(batch, name) for batch in batches])  # noqa: E731
    allocation = allocate(AllocationProblem(join("estimate"), join("cost"), budget))
    rows, first = np.arange(len(allocation.choice)), np.cumsum([0, *(len(batch.cost) for batch in batches)])[:-1]
    success = np.add.reduceat(join("outcome")[rows, allocation.choice].astype(float), first)
    return Month(success, np.add.reduceat(join("cost")[rows, allocation.choice], first))


def within_reach(batches: list[Batch], share: Callable[[int], float]) -> Callable[[int, float], float]:
    """A share for each batch, but what its cheapest assignment costs at least, whatever that does to the cap."""
    return lambda i, spent: max(batches[i].curve.least_usd, share(i))


def first_come(batches: list[Batch], budget: float) -> Callable[[int, float], float]:
    """Every batch takes what helps it, as long as the cheapest assignments of those to come can still be paid."""
    least = np.cumsum([batch.curve.least_usd for batch in batches][::-1])[::-1]
    return lambda i, spent: max(
        batches[i].curve.least_usd, budget - spent - (least[i + 1] if i + 1 < len(least) else 0)
    )


def dual_descent(batches: list[Batch], budget: float, step: float = 0.1) -> Callable[[int, float], float]:
    """Adaptive pacing (Balseiro & Gur 2019), told the number of instructions of the month and the best first price.

    The price moves by a share of itself, up where a batch spent more per instruction than is left per instruction.
    """
    sizes = [len(batch.cost) for batch in batches]
    price = [_price_of(batches[:10], budget * sum(sizes[:10]) / sum(sizes))]
    target = budget / sum(sizes)

    def share(i: int, spent: float) -> float:
        wanted = batches[i].curve.spend(price[0])
        price[0] *= np.exp(step * np.clip(wanted / sizes[i] / target - 1, -1, 3))
        rest = budget - spent - sum(batch.curve.least_usd for batch in batches[i + 1 :])
        return max(batches[i].curve.least_usd, min(wanted, rest))

    return share


def _price_of(batches: list[Batch], budget: float) -> float:
    prices = np.unique(np.concatenate([batch.curve.price for batch in batches]))
    low, high = 0, len(prices) - 1
    while low < high:
        middle = (low + high) // 2
        if sum(batch.curve.spend(prices[middle]) for batch in batches) > budget:
            low = middle + 1
        else:
            high = middle
    return float(prices[low])


@dataclass(frozen=True, eq=False)
class Run:
    """One simulated month: its batches, its budget, and what each policy made of it."""

    batches: list[Batch]
    budget: float
    months: dict[str, Month]

    def relative(self, policy: str) -> float:
        """Realised success relative to the offline optimum's."""
        return float(self.months[policy].success.sum() / self.months["offline optimum"].success.sum())


def simulate(seed: int, batches: int = 200, mean_size: float = 150.0, budget_fraction: float = 0.25) -> Run:
    """One seed; ``budget_fraction`` is of sending everything to the dearest model."""
    rng = np.random.default_rng(seed)
    history = month(rng, START - timedelta(days=DAYS), batches, mean_size / 1.3)
    now = month(rng, START, batches, mean_size)
    budget = budget_fraction * float(sum(batch.cost[:, -1].sum() for batch in now))
    total = sum(len(batch.cost) for batch in now)
    plan = PeriodBudget(budget)
    months = {
        "offline optimum": offline(now, budget),
        "paced": paced(now, plan, history),
        "paced, no history": paced(now, plan, []),
        "dual descent, told the volume": follow(now, dual_descent(now, budget)),
        "equal per instruction": follow(now, within_reach(now, lambda i: budget * len(now[i].cost) / total)),
        "equal per batch": follow(now, within_reach(now, lambda i: budget / len(now))),
        "first come": follow(now, first_come(now, budget)),
    }
    return Run(now, budget, months)


def table(runs: dict[float, list[Run]]) -> str:
    """Mean over seeds of success relative to the offline optimum with 95 % intervals, per budget, and the spend."""
    policies = list(next(iter(runs.values()))[0].months)
    lines = [
        "success relative to the offline optimum, % [95 % interval of the mean over seeds] (spend, % of the budget)"
    ]
    lines.append(f"{'budget, % of the dearest':32}" + "".join(f"{fraction:>28.0%}" for fraction in runs))
    for policy in policies:
        cells = []
        for of_budget in runs.values():
            relative = 100 * np.array([run.relative(policy) for run in of_budget])
            error = 1.96 * relative.std(ddof=1) / np.sqrt(len(relative)) if len(relative) > 1 else 0.0
            low, high = relative.mean() - error, relative.mean() + error
            spent = 100 * np.mean([np.nansum(run.months[policy].usd) / run.budget for run in of_budget])
            cells.append(f"{relative.mean():6.2f} [{low:6.2f}, {high:6.2f}] ({spent:3.0f})")
        lines.append(f"{policy:32}" + "".join(f"{cell:>28}" for cell in cells))
    return "\n".join(lines)


def draw(runs: dict[float, list[Run]], path: Path) -> None:
    """Spend and success along the month of one seed, and the loss of every policy over all seeds and budgets."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    middle = list(runs)[len(runs) // 2]
    run = runs[middle][0]
    day = np.array([(batch.at - START) / timedelta(days=1) for batch in run.batches])
    shown = ("offline optimum", "paced", "equal per instruction", "equal per batch", "first come")
    figure, (spend, lost) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    for policy in shown:
        style = {"color": "black", "linestyle": "--"} if policy == "offline optimum" else {}
        spend.plot(day, 100 * np.nancumsum(run.months[policy].usd) / run.budget, label=policy, **style)
    spend.set(xlabel="day of the month", ylabel="spent, % of the month's budget", xlim=(0, DAYS))
    spend.set_title(f"{len(run.batches)} simulated batches, one seed, budget {middle:.0%}")
    spend.axhline(100, color="grey", linewidth=0.8)
    spend.legend(frameon=False)
    policies = [policy for policy in run.months if policy != "offline optimum"]
    for i, (fraction, of_budget) in enumerate(runs.items()):
        loss = np.array([[100 * (1 - run.relative(policy)) for run in of_budget] for policy in policies])
        error = 1.96 * loss.std(axis=1, ddof=1) / np.sqrt(loss.shape[1]) if loss.shape[1] > 1 else None
        where = np.arange(len(policies)) + 0.25 * (i - (len(runs) - 1) / 2)
        lost.barh(where, loss.mean(axis=1), 0.23, xerr=error, label=f"budget {fraction:.0%} of the dearest")
    lost.axvline(2, color="grey", linewidth=0.8)
    lost.set(yticks=range(len(policies)), yticklabels=policies, xlabel="success lost to the offline optimum, %")
    lost.set_title(f"mean over {len(runs[middle])} seeds with 95 % intervals")
    lost.invert_yaxis()
    lost.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(path: Path, seeds: int = 10) -> None:
    runs = {
        fraction: [simulate(seed, budget_fraction=fraction) for seed in range(seeds)] for fraction in (0.1, 0.25, 0.5)
    }
    print(table(runs))
    draw(runs, path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "pacing.png"))
