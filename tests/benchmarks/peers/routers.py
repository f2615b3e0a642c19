"""Tuned kNN and ParetoBandit against our router, on real tables: the same splits, prices and budgets.

    python -m tests.benchmarks.peers.routers [--data DIR] [--tables routerbench emotion] [--seeds 0 1 2 3 4]

Every split is evaluated once by ``evaluate`` with frozen embeddings. kNN is its control: neighbours in the same
embeddings; their number, temperature and smoothing are tuned on the validation split. Then the test split is a stream
in random order. ParetoBandit takes one instruction after another; our pacing gets it in 20 batches of a month, told
the month's volume. ParetoBandit knows the outcomes of all models on the training split; its settings are tuned on the
validation and calibration splits. Spend is real: recorded where the table records it. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from routing_assets.allocation import AllocationProblem, InfeasibleBudget, allocate
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.splits import split_instructions
from routing_assets.evaluation.evaluation import Evaluation
from routing_assets.evaluation.intervals import interval
from routing_assets.evaluation.protocol import EvaluationConfig, evaluate
from routing_assets.evaluation.results import SeedResult
from routing_assets.pacing import PacingState, PastBatch, PeriodBudget, PeriodExhausted, batch_budget
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import SentenceEncoder
from routing_assets.prediction.encoder.text import fit_text_preparation
from routing_assets.prediction.router import RouterConfig
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import read_catalog
from routing_assets.pricing.cost_model import fit_cost_model
from routing_assets.pricing.recorded_costs import recorded_costs
from routing_assets.routers.label_sources import read_labels
from tests.benchmarks.peers.bandit import BanditSettings, Prior, Traffic, follow, most_chosen, tuned

TABLES = {
    "routerbench": ("routerbench_subset.parquet", None, (0.1, 0.2, 0.3, 0.5)),
    "emotion": ("llm_uncertainty_bench_emotion", "simulated:llm_uncertainty_bench", (0.3, 0.5, 0.7, 1.0)),
}
"""File, catalog, and budgets of the stream."""
BATCHES = 20
START, END = datetime(2026, 6, 1), datetime(2026, 7, 1)


@dataclass(frozen=True, eq=False)
class Stream:
    """The test split of one seed in order of arrival, with what each side knows of it."""

    probability: np.ndarray
    """(n, K) of our router."""
    estimated_cost: np.ndarray
    test: Traffic
    past: Traffic
    trial: Traffic
    best_single: float

    def usd(self, share: float) -> float:
        return share * float(self.test.cost.sum(axis=0).max()) * (1 + 1e-9)


def stream_of(
    labels: LabelledInstructions, catalog: ModelCatalog | None, result: SeedResult, embeddings: EmbeddingCache
) -> Stream:
    split = split_instructions(labels.instruction, labels.group, seed=result.seed)
    train = labels.take(split.train)
    prepared = fit_text_preparation(train.instruction).prepare(list(labels.instruction))
    features = embeddings.embed(prepared)[:, -embeddings.encoder.width :].astype(np.float64)
    prices = fit_cost_model(train, catalog, "auto")
    estimated = prices.estimate(labels.instruction, labels.task).mean
    recorded = recorded_costs(labels, catalog).cost
    cost = np.where(np.isfinite(recorded), recorded, estimated)
    cost[result.rows] = result.cost
    order = np.random.default_rng(result.seed).permutation(len(result.rows))
    everything = Traffic(features, labels.success, cost)
    held_out = np.random.default_rng(result.seed).permutation(np.concatenate([split.validation, split.calibration]))
    complete = np.isfinite(labels.success).all(axis=1)
    return Stream(
        result.probabilities["decision"][order],
        estimated[result.rows][order],
        everything.take(result.rows[order]),
        everything.take(split.train[complete[split.train]]),
        everything.take(held_out[complete[held_out]]),
        result.best_success,
    )


def paced(stream: Stream, usd: float) -> np.ndarray | None:
    """(n,) models; None where the money did not pay for all batches."""
    n = len(stream.probability)
    plan, past, choice = PeriodBudget(usd, expected_instructions=float(n)), [], []
    for i, rows in enumerate(np.array_split(np.arange(n), BATCHES)):
        at = START + (END - START) * ((i + 0.5) / BATCHES)
        problem = AllocationProblem(stream.probability[rows], stream.estimated_cost[rows], np.inf)
        try:
            budget = batch_budget(problem, at, plan, PacingState(START, END, past))
        except PeriodExhausted:
            return None
        found = allocate(AllocationProblem(stream.probability[rows], stream.estimated_cost[rows], budget.usd))
        past.append(PastBatch(at, found.total_cost, budget.curve))
        choice.append(found.choice)
    return np.concatenate(choice)


def at_once(stream: Stream, usd: float) -> np.ndarray | None:
    try:
        return np.asarray(allocate(AllocationProblem(stream.probability, stream.estimated_cost, usd)).choice)
    except InfeasibleBudget:
        return None


def bandit_rows(
    labels: LabelledInstructions,
    catalog: ModelCatalog | None,
    seeds: Sequence[SeedResult],
    embeddings: EmbeddingCache,
    shares: Sequence[float],
) -> Iterator[str]:
    """A Markdown table: success relative to the best single model, and spend."""
    streams = [stream_of(labels, catalog, result, embeddings) for result in seeds]
    cells: dict[str, list[str]] = {}
    chosen = {}
    for share in shares:
        best, sides = [], []
        for result, stream in zip(seeds, streams, strict=True):
            prior, usd, rows = Prior(stream.past), stream.usd(share), np.arange(len(stream.test.cost))
            best.append(tuned(prior, stream.trial, share * float(stream.trial.cost.sum(axis=0).max())))
            side = {"ours, one batch": at_once(stream, usd), "ours, paced over 20 batches": paced(stream, usd)}
            for name, settings in (("ParetoBandit, as shipped", BanditSettings()), ("ParetoBandit, tuned", best[-1])):
                side[name] = follow(prior, stream.test, usd, settings, result.seed)
                spent = float(stream.test.cost[rows, side[name]].sum())
                side[f"ours, paced, with what {name} spent"] = paced(stream, spent)
            sides.append(side)
        chosen[share] = best
        for name in sides[0]:
            done = [(s, side[name]) for s, side in zip(streams, sides, strict=True) if side[name] is not None]
            cells.setdefault(name, []).append(cell(done, share) if len(done) == len(sides) else "too little")
    yield "| budget, of the dearest model | " + " | ".join(f"{share:.0%}" for share in shares) + " |"
    yield "|---" * (len(shares) + 1) + "|"
    yield from (f"| {name} | " + " | ".join(of_side) + " |" for name, of_side in cells.items())
    yield f"\nShipped: {BanditSettings()}."
    yield from (f"Tuned at {share:.0%}: " + "; ".join(most_chosen(best)) for share, best in chosen.items())


def cell(done: Sequence[tuple[Stream, np.ndarray]], share: float) -> str:
    """Mean over the splits, 95 % interval of the mean, and spend in % of the budget."""
    relative, spent = [], []
    for stream, choice in done:
        rows = np.arange(len(choice))
        relative.append(stream.test.success[rows, choice].mean() / stream.best_single)
        spent.append(100 * stream.test.cost[rows, choice].sum() / stream.usd(share))
    mean, error = np.mean(relative), 1.96 * np.std(relative, ddof=1) / np.sqrt(len(relative))
    return f"{mean:.3f} [{mean - error:.3f}, {mean + error:.3f}] ({np.mean(spent):.0f})"


def knn_rows(evaluation: Evaluation, shares: Sequence[float]) -> Iterator[str]:
    """A Markdown table: both sides' success relative to the best single model, and the paired difference."""
    at = [int(np.argmin(np.abs(evaluation.budget_fractions - share))) for share in shares]
    means, replicates = evaluation.mean_curves, evaluation.bootstrap
    yield "| budget, of the dearest model | " + " | ".join(f"{share:.0%}" for share in shares) + " |"
    yield "|---" * (len(shares) + 1) + "|"
    for name, policy in (("ours", "mip"), ("tuned kNN", "knn_mip")):
        yield f"| {name} | " + " | ".join(f"{means.relative[0, means.of(policy), f]:.3f}" for f in at) + " |"
    gain, drawn = 100 * means.difference("mip", "knn_mip")[0], 100 * replicates.difference("mip", "knn_mip")
    bounds = [interval(drawn[:, f]) for f in at]
    yield (
        "| ours less kNN, points | "
        + " | ".join(f"{gain[f]:+.1f} [{low:+.1f}, {high:+.1f}]" for f, (low, high) in zip(at, bounds, strict=True))
        + " |"
    )
    yield "\nkNN was tuned to, per split: " + "; ".join(
        ", ".join(f"{name} {value}" for name, value in seed.knn.items()) for seed in evaluation.seeds
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--embeddings", type=Path, help="folder in which embeddings are kept")
    options = parser.parse_args()
    config = ClassifierConfig(method="frozen")
    embeddings = EmbeddingCache(SentenceEncoder(config.encoder), options.embeddings)
    for name in options.tables:
        file, prices, shares = TABLES[name]
        labels, catalog = read_labels(str(options.data / file)), read_catalog(prices)
        catalog = None if catalog is None else catalog.select(labels.models)
        evaluated = evaluate(
            labels, catalog, options.seeds, EvaluationConfig(RouterConfig(config)), embeddings_cache=embeddings
        )
        print(f"\n## {evaluated.title}: {len(labels):,} instructions, {len(labels.models)} models\n")
        print("\n".join(knn_rows(evaluated, shares)) + "\n")
        print("\n".join(bandit_rows(labels, catalog, evaluated.seeds, embeddings, shares)), flush=True)


if __name__ == "__main__":
    main()
