"""ParetoBandit against our pacing on the simulated month of ``pacing_simulation.py``.

    python -m tests.benchmarks.peers.bandit_simulation [--seeds 5] [--batches 100] [--mean-size 100]

Both sides get the same estimates; ParetoBandit as its features, which its linear model can pass through. It learns
their relation to success, and prices, from the outcomes of all models in the month before, and every outcome of its own
calls at once. It is told the number of instructions of the month; ours is not. It has no hard cap, so that ours is also
given what it really spent. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from datetime import timedelta

import numpy as np

from routing_assets.pacing import PeriodBudget
from tests.benchmarks.pacing_simulation import DAYS, START, Batch, Month, month, offline, paced
from tests.benchmarks.peers.bandit import BanditSettings, Prior, Traffic, follow, most_chosen, tuned

BUDGETS = (0.1, 0.25, 0.5)
"""Of sending everything to the dearest model."""
TRIAL = 1_500
"""Last instructions of the month before, on which settings are tuned."""


def traffic(batches: list[Batch]) -> Traffic:
    """One batch after another."""
    estimate, outcome, cost = (
        np.concatenate([getattr(batch, name) for batch in batches]) for name in ("estimate", "outcome", "cost")
    )
    return Traffic(estimate, outcome.astype(float), cost)


def simulate(seed: int, share: float, batches: int, mean_size: float) -> tuple[dict[str, Month], float, BanditSettings]:
    """What each side makes of one month, its budget, and the settings that were tuned."""
    rng = np.random.default_rng(seed)
    history = month(rng, START - timedelta(days=DAYS), batches, mean_size / 1.3)
    now = month(rng, START, batches, mean_size)
    budget = share * float(sum(batch.cost[:, -1].sum() for batch in now))
    past, stream = traffic(history), traffic(now)
    trial = past.take(np.arange(max(0, len(past.cost) - TRIAL), len(past.cost)))
    prior = Prior(past)
    best = tuned(prior, trial, share * float(trial.cost[:, -1].sum()))
    months = {"offline optimum": offline(now, budget), "ours, paced": paced(now, PeriodBudget(budget), history)}
    for name, settings in (("ParetoBandit, as shipped", BanditSettings()), ("ParetoBandit, tuned", best)):
        choice = follow(prior, stream, budget, settings, seed)
        rows = np.arange(len(choice))
        months[name] = Month(stream.success[rows, choice], stream.cost[rows, choice])
        spent = float(months[name].usd.sum())
        months[f"ours, paced, with what {name} spent"] = paced(now, PeriodBudget(spent), history)
    return months, budget, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--mean-size", type=float, default=100.0)
    options = parser.parse_args()
    runs = {
        share: [simulate(seed, share, options.batches, options.mean_size) for seed in range(options.seeds)]
        for share in BUDGETS
    }
    print(
        f"Realised successes, % of the offline optimum's [95 % interval of the mean over {options.seeds} seeds] "
        f"(spend, % of the budget); {options.batches} batches.\nShipped: {BanditSettings()}.\n"
    )
    print("| budget, of the dearest model | " + " | ".join(f"{share:.0%}" for share in runs) + " |")
    print("|---" * (len(runs) + 1) + "|")
    for policy in next(iter(runs.values()))[0][0]:
        cells = []
        for of_budget in runs.values():
            relative = np.array([
                100 * m[policy].success.sum() / m["offline optimum"].success.sum() for m, _, _ in of_budget
            ])  # fmt: skip
            spent = np.mean([100 * np.nansum(m[policy].usd) / budget for m, budget, _ in of_budget])
            error = 1.96 * relative.std(ddof=1) / np.sqrt(len(relative))
            mean = relative.mean()
            cells.append(f"{mean:.2f} [{mean - error:.2f}, {mean + error:.2f}] ({spent:.1f})")
        print(f"| {policy} | " + " | ".join(cells) + " |")
    for share, of_budget in runs.items():
        print(f"\nTuned at {share:.0%}: " + "; ".join(most_chosen([best for _, _, best in of_budget])))


if __name__ == "__main__":
    main()
