"""What a check of each answer could buy if its posteriors were exact: the limit of any second look.

    python -m tests.benchmarks.limit_of_checks [--auc 0.9] [--size 3000] [--seeds 0 1 2 3 4]

The instructions are those of the simulated twin of LLM-Uncertainty-Bench, whose probabilities are known: before any
answer, after a normal check of the first one, and after a check that knows whether it is right. Two rounds are planned
on one sample and carried out on another of the same size. Every call of a model costs its price. The last line says how
far the successes of second calls are below what the text tells: they are made where the first answer looks wrong.
"""

from __future__ import annotations

import argparse
from statistics import NormalDist

import numpy as np

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.datasets.simulated.twins import response_model
from routing_assets.prediction.second_look import BatchLooks, carry_out, fit_lookahead
from routing_assets.prediction.second_look.second_look import logits_of
from routing_assets.pricing.catalog_table import read_catalog

TWIN = "llm_uncertainty_bench"
BUDGETS = (0.3, 0.5, 0.7)


def drawn(size: int, seed: int, auc: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Success (n, K); P(success) before an answer (n, K), after the check of each first model's answer (K, n, K), and
    after a perfect check of it (K, n, K).
    """
    world, random = response_model(TWIN), np.random.default_rng(seed)
    k, tasks, families = world.ability.shape
    task, family = random.integers(tasks, size=size), random.integers(families, size=size)
    rungs, lengths = world.difficulty.shape
    visible = world.difficulty[random.integers(rungs, size=size), random.integers(lengths, size=size)]
    hidden, weight = np.polynomial.hermite_e.hermegauss(21)
    known = np.stack([world.success_probability(task, family, visible + world.hidden_sd * h) for h in hidden])
    truth = world.success_probability(task, family, visible + world.hidden_sd * random.standard_normal(size))
    success = random.random((size, k)) < truth
    apart = np.sqrt(2) * NormalDist().inv_cdf(auc)
    check = apart * success + random.standard_normal((size, k))
    right, wrong = np.exp(-np.square(check - apart) / 2), np.exp(-np.square(check) / 2)
    before = np.tensordot(weight / weight.sum(), known, axes=1)
    return success, before, _after(known, weight, right, wrong), _after(known, weight, success, ~success)


def _after(known: np.ndarray, weight: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(K, n, K) by Bayes, from P(success | hidden) (Q, n, K) and how likely what is seen is of right and wrong answers;
    given the hidden difficulty, models err independently.
    """
    models = known.shape[2]
    after = np.empty((models, *known.shape[1:]))
    for j in range(models):
        was_right = known[:, :, j] * right[:, j]
        seen = weight[:, None] * (was_right + (1 - known[:, :, j]) * wrong[:, j])
        after[j] = np.einsum("qn,qnk->nk", seen, known)
        after[j, :, j] = np.einsum("q,qn->n", weight, was_right)
        after[j] /= seen.sum(axis=0)[:, None]
    return after


def two_rounds(
    known: np.ndarray, known_after: np.ndarray, alone: np.ndarray, after: np.ndarray, cost: np.ndarray, budget: float
) -> tuple[np.ndarray, np.ndarray]:
    """The first model of each instruction and the last one, planned by what is known of other instructions."""
    looks = fit_lookahead(logits_of(known), known_after.astype(np.float32), cost, range(cost.shape[1]))
    columns, rows = BatchLooks(looks, alone.astype(np.float32), cost), np.arange(len(cost))
    plan, last = carry_out(columns, lambda first: after[first, rows], cost, budget)
    return plan.choice, last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--auc", type=float, default=0.9)
    parser.add_argument("--size", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    catalog = read_catalog(f"simulated:{TWIN}")
    assert catalog is not None
    cost = np.tile([model.input_price for model in catalog.models], (options.size, 1))
    rows, gains, second = np.arange(options.size), np.empty((len(options.seeds), len(BUDGETS), 2)), []
    for s, seed in enumerate(options.seeds):
        known, (success, alone, *after) = (drawn(options.size, 2 * seed + part, options.auc) for part in (0, 1))
        for b, share in enumerate(BUDGETS):
            budget = share * cost.sum(axis=0).max()
            once = success[rows, allocate(AllocationProblem(alone, cost, budget)).choice].mean()
            for kind in (0, 1):
                first, last = two_rounds(known[1], known[2 + kind], alone, after[kind], cost, budget)
                gains[s, b, kind] = (success[rows, last].mean() - once) / success.mean(axis=0).max()
                if kind == 0:
                    again = first != last
                    second += zip(success[rows, last][again], alone[rows, last][again], strict=True)
    for share, (check, perfect) in zip(BUDGETS, 100 * gains.mean(axis=0), strict=True):
        print(
            f"{share:.0%}: a check of AUC {options.auc:g} gains {check:.1f} points, a perfect one {perfect:.1f}: "
            f"{check / perfect:.0%}"
        )
    part = gains[:, :, 0].mean(axis=1) / gains[:, :, 1].mean(axis=1)
    print(f"share of the gain, over all budgets, by seed: {', '.join(f'{value:.0%}' for value in part)}")
    succeeded, promised = np.mean(second, axis=0)
    print(f"of {len(second)} second calls {succeeded:.1%} succeed; their texts alone promise {promised:.1%}")


if __name__ == "__main__":
    main()
