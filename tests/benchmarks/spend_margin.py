"""How often a budget is really kept with ``--confidence 0.95``, and what that costs: before and after its margin was
calibrated on decisions.

    python -m tests.benchmarks.spend_margin [--labels ROUTERBENCH.parquet] [--splits 40]

Per split a cost model and a cheap honest predictor (ridge regression) learn from the training rows, the margin is
calibrated on held-out rows, and batches come from rows that none of them saw: fresh ones of three simulated worlds with
heavy-tailed costs, and a third part of the label table. ``before`` is the normal approximation from the errors of
single calls. Two oracles hold back just a 95 % quantile of realised over estimated spend: ``of the decision`` knows
its law given everything that was learnt (simulated worlds only), ``of all splits`` its quantile over all of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from tqdm import tqdm

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.splits import SplitFractions, split_instructions
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
from routing_assets.prediction.encoder.text import fit_text_preparation
from routing_assets.pricing.cost_model import fit_cost_model
from routing_assets.pricing.held_out_spend import (
    HeldOutCalls,
    SpendRatio,
    calibrated_share,
    corresponding_budget,
    spend_ratio,
)
from routing_assets.pricing.spend import CostEstimate
from routing_assets.routers.label_sources import read_labels

SIZES = {20: 2, 100: 1, 500: 1, 2000: 1}  # instructions: batches of a split
FRACTIONS = (0.2, 0.5, 0.8)
CONFIDENCE = 0.95
TRAIN, HELD_OUT = 0.7, 0.2
Spend = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Batch:
    """What is predicted, estimated and true of a batch; ``spend`` draws what a choice might have cost as well."""

    success: np.ndarray
    estimate: CostEstimate
    cost: np.ndarray
    spend: Spend | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """Held-out calls to calibrate on, and a source of unseen batches of a size."""

    held_out: HeldOutCalls
    batch: Callable[[int], Batch]


@dataclass(frozen=True, eq=False)
class World:
    """A simulated world: models, labelled rows, and the laws of what calls are expected to cost and how they vary.

    ``calls`` gives features, success and expected USD of n texts of the given tokens; ``noise`` has mean 1.
    """

    rows: int
    calls: Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
    noise: Callable[[np.random.Generator, Any], np.ndarray]


def lognormal_world(seed: int) -> World:
    """Six models; a call varies lognormally (sigma 1) about what length predicts well."""
    rng = np.random.default_rng(seed)
    price, output = np.geomspace(0.1, 10, 6) * 1e-6, rng.uniform(100, 400, 6)
    level, weights = np.linspace(-0.5, 1.8, 6), rng.normal(0, 0.6, (8, 6)) + rng.normal(0, 0.8, (8, 1))

    def calls(rng: np.random.Generator, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        features = rng.normal(size=(len(tokens), 8))
        expected = price * (tokens[:, None] + 4 * output * (tokens[:, None] / 150) ** 0.5)
        return features, _drawn(rng, level + features @ weights), expected

    return World(2000, calls, lambda rng, shape: np.exp(rng.normal(0, 1.0, shape) - 0.5))


def pareto_world(seed: int) -> World:
    """Twenty-eight models, many alike; Pareto costs (tail index 2.2) that a length predicts only noisily."""
    rng = np.random.default_rng(seed)
    price = np.exp(rng.uniform(np.log(0.05), np.log(15), 28)) * 1e-6
    level = np.log(price * 1e6) * 0.5 + rng.normal(0, 0.5, 28)
    weights = rng.normal(0, 0.7, (8, 28)) + rng.normal(0, 0.6, (8, 1))

    def calls(rng: np.random.Generator, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        features = rng.normal(size=(len(tokens), 8))
        expected = price * (200 + 2 * tokens[:, None]) * np.exp(0.3 * features[:, :1])
        return features, _drawn(rng, level + features @ weights), expected

    return World(1500, calls, lambda rng, shape: (rng.pareto(2.2, shape) + 1) * 1.2 / 2.2)


def hard_world(seed: int) -> World:
    """Ten models; hard instructions fail and make long answers, which the text tells only in part; lognormal costs
    (sigma 1.2).
    """
    rng = np.random.default_rng(seed)
    price, level = np.geomspace(0.1, 20, 10) * 1e-6, np.linspace(-0.3, 2.2, 10)
    weights = rng.normal(0, 0.5, (8, 10))

    def calls(rng: np.random.Generator, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        hardness, features = rng.normal(size=(len(tokens), 1)), rng.normal(size=(len(tokens), 8))
        features[:, :1] = hardness + 0.7 * features[:, :1]
        expected = price * (tokens[:, None] + 600 * np.exp(0.8 * hardness))
        return features, _drawn(rng, level + features @ weights - 1.2 * hardness), expected

    return World(2000, calls, lambda rng, shape: np.exp(rng.normal(0, 1.2, shape) - 0.72))


WORLDS = {
    "lognormal, 6 models": lognormal_world,
    "Pareto, 28 models": pareto_world,
    "hard is long, 10 models": hard_world,
}


def simulated_split(world: World, seed: int) -> Split:
    """Training and held-out rows of a world, and fresh batches."""
    rng, fresh = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    train, features, _ = _labels(world, rng, round(TRAIN * world.rows))
    prices, predict = fit_cost_model(train, None), ridge(features, train.success)

    def batch(rng: np.random.Generator, size: int) -> Batch:
        labels, features, expected = _labels(world, rng, size)
        estimate, row = prices.estimate(labels.instruction), np.arange(size)

        def spend(choice: np.ndarray) -> np.ndarray:
            return np.array([expected[row, choice] @ world.noise(rng, size) for _ in range(400)])

        return Batch(predict(features), estimate, labels.cost, spend)

    return Split(_held_out(train.models, batch(rng, round(HELD_OUT * world.rows))), lambda size: batch(fresh, size))


def measured_split(labels: LabelledInstructions, features: np.ndarray, seed: int, size: int) -> Split:
    """A table in three parts; where its batches are large, less is left to learn from. Features are (N, D)."""
    fractions = (0.22, 0.005, 0.1, 0.675) if 4 * size > len(labels) else (0.53, 0.005, 0.2, 0.265)
    split = split_instructions(labels.instruction, labels.group, seed=seed, fractions=SplitFractions(*fractions))
    train = labels.take(split.train)
    prices, predict = fit_cost_model(train, None), ridge(features[split.train], train.success)
    fresh = np.random.default_rng([seed, 2])

    def batch(rows: np.ndarray) -> Batch:
        part = labels.take(rows)
        return Batch(predict(features[rows]), prices.estimate(part.instruction, part.task), part.cost)

    held_out = _held_out(labels.models, batch(split.calibration))
    return Split(held_out, lambda size: batch(fresh.permutation(split.test)[:size]))


def measure(name: str, split: Split, seed: int, size: int) -> Iterator[dict[str, Any]]:
    """One row per batch and budget: shares allocated, ratios and whether the budget was kept, before and after."""
    for _ in range(SIZES[size]):
        batch = split.batch(size)
        for fraction in FRACTIONS:
            budget = fraction * float(batch.estimate.mean.sum(axis=0).max())
            least = float(batch.estimate.mean.min(axis=1).sum()) * (1 + 1e-9)
            full = decide(batch.success, batch.estimate.mean, max(budget, least))
            after, known = calibrated(split.held_out, batch, budget, seed)
            row = {"world": name, "seed": seed, "size": size, "fraction": fraction, "calibrated": known}
            for when, share in (("before", normal_share(batch.estimate, full)), ("after", after)):
                choice = decide(batch.success, batch.estimate.mean, max(budget * share, least))
                estimated, realised = (
                    float(m[np.arange(size), choice].sum()) for m in (batch.estimate.mean, batch.cost)
                )
                row |= {
                    f"{when} held back": 1 - share,
                    f"{when} ratio": realised / estimated,
                    f"{when} kept": realised <= budget,
                }
            if batch.spend is not None:
                law = batch.spend(choice) / estimated
                row["oracle"] = 1 - 1 / max(1.0, float(np.quantile(law, CONFIDENCE)))
            yield row


def calibrated(held_out: HeldOutCalls, batch: Batch, budget: float, seed: int) -> tuple[float, bool]:
    """The share that is allocated, as batches are routed, and whether held-out decisions said so."""

    def ratio_at(share: float) -> SpendRatio | None:
        money = corresponding_budget(budget * share, batch.estimate.mean, held_out.estimate.mean)
        choice = decide(held_out.success, held_out.estimate.mean, money)
        return spend_ratio(held_out, choice, len(batch.success), seed)

    found = calibrated_share(ratio_at, CONFIDENCE)
    if found is None:
        return batch.estimate.safe_share(decide(batch.success, batch.estimate.mean, budget), CONFIDENCE), False
    return found[0], True


def decide(success: np.ndarray, cost: np.ndarray, budget: float) -> np.ndarray:
    """The MIP's choice (N,)."""
    choice: np.ndarray = allocate(AllocationProblem(success, cost, budget)).choice
    return choice


def normal_share(estimate: CostEstimate, choice: np.ndarray) -> float:
    """The margin as it was: the normal approximation, from the errors of single calls and levels."""
    forecast = estimate.forecast(choice)
    return 1.0 / (1.0 + NormalDist().inv_cdf(CONFIDENCE) * forecast.std / forecast.mean)


def ridge(features: np.ndarray, success: np.ndarray, strength: float = 20.0) -> Callable[[np.ndarray], np.ndarray]:
    """Linear regression of success (N, K) on features (N, D), clipped to probabilities."""
    centre, mean = features.mean(axis=0), success.mean(axis=0, dtype=np.float64)
    rows = features - centre
    weights = np.linalg.solve(rows.T @ rows + strength * np.eye(rows.shape[1]), rows.T @ (success - mean))
    return lambda new: np.clip(mean + (new - centre) @ weights, 0.01, 0.99)


def text_features(labels: LabelledInstructions, cache: Path) -> np.ndarray:
    """Hundred principal components of the sentence embeddings, and the tasks."""
    encoder = EmbeddingCache(SentenceEncoder(EncoderConfig()), cache)
    embedded = encoder.embed(fit_text_preparation(labels.instruction).prepare(labels.instruction), progress=True)
    embedded = embedded - embedded.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(embedded, full_matrices=False)
    tasks = [] if labels.task is None else [labels.task[:, None] == np.unique(labels.task.astype(str))]
    return np.hstack([10 * left[:, :100] * values[:100], *tasks])


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, per world and size and per world: kept rates with intervals over splits, margins and oracles."""
    columns = ("world", "instructions", "batches", "before: kept", "held back", "after: kept", "held back")
    columns += ("oracle of the decision", "ratio", "oracle of all splits", "ratio")
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for world in dict.fromkeys(row["world"] for row in rows):
        of_world = [row for row in rows if row["world"] == world]
        for size in (*sorted({row["size"] for row in of_world}), "all"):
            part = [row for row in of_world if size in ("all", row["size"])]
            held_back = float(np.mean([row["after held back"] for row in part]))
            oracle = float(np.mean([row["oracle"] for row in part])) if "oracle" in part[0] else float("nan")
            pooled = _oracle_of_all_splits(part)
            lines.append(
                f"| {world} | {size} | {len(part)} | {_kept(part, 'before')} "
                f"| {np.mean([row['before held back'] for row in part]):.3f} | {_kept(part, 'after')} "
                f"| {held_back:.3f} | {oracle:.3f} | {_ratio(held_back, oracle)} | {pooled:.3f} "
                f"| {_ratio(held_back, pooled)} |"
            )
    return "\n".join(lines)


def _ratio(held_back: float, oracle: float) -> str:
    return f"{held_back / oracle:.2f}" if oracle > 0 else "–"


def _kept(rows: list[dict[str, Any]], when: str) -> str:
    """Share of batches that kept their budget, and its 95 % interval by a bootstrap of splits."""
    seeds = np.array([row["seed"] for row in rows])
    kept = np.array([row[f"{when} kept"] for row in rows])
    count = np.bincount(seeds)
    good = np.bincount(seeds, weights=kept)
    drawn = np.random.default_rng(0).integers(len(count), size=(4000, len(count)))
    low, high = np.quantile(good[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.025, 0.975])
    return f"{kept.mean():.1%} [{low:.1%}, {high:.1%}]"


def _oracle_of_all_splits(rows: list[dict[str, Any]]) -> float:
    """Mean over sizes and budgets of what the 95 % quantile of the ratio over all splits holds back."""
    held_back = []
    for size, fraction in sorted({(row["size"], row["fraction"]) for row in rows}):
        part = [row["after ratio"] for row in rows if (row["size"], row["fraction"]) == (size, fraction)]
        held_back += [1 - 1 / max(1.0, float(np.quantile(part, CONFIDENCE)))] * len(part)
    return float(np.mean(held_back))


def _labels(world: World, rng: np.random.Generator, n: int) -> tuple[LabelledInstructions, np.ndarray, np.ndarray]:
    tokens = np.exp(rng.normal(5, 0.8, n)).clip(10, 4000)
    features, success, expected = world.calls(rng, tokens)
    text = np.array([f"{i} " + "word " * round(0.8 * t) for i, t in enumerate(tokens)], dtype=object)
    ids, models = np.arange(n).astype(str).astype(object), tuple(f"m{k}" for k in range(success.shape[1]))
    cost = expected * world.noise(rng, expected.shape)
    return LabelledInstructions("simulated", models, ids, text, success, cost), features, expected


def _held_out(models: tuple[str, ...], batch: Batch) -> HeldOutCalls:
    return HeldOutCalls(models, batch.success, batch.estimate, batch.cost, np.zeros(len(batch.success)))


def _drawn(rng: np.random.Generator, logit: np.ndarray) -> np.ndarray:
    return (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", help="a label table with recorded costs, beside the simulated worlds")
    parser.add_argument("--splits", type=int, default=40)
    parser.add_argument("--cache", type=Path, default=Path(".routing/embeddings"))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in tqdm(range(options.splits), "simulated", unit="split"):
        for name, world in WORLDS.items():
            split = simulated_split(world(seed), seed)
            rows += [row for size in SIZES for row in measure(name, split, seed, size)]
    if options.labels:
        labels = read_labels(options.labels)
        features = text_features(labels, options.cache)
        for seed in tqdm(range(options.splits), labels.name, unit="split"):
            for size in SIZES:
                rows += measure(labels.name, measured_split(labels, features, seed, size), seed, size)
    print(table(rows))
    print(f"{np.mean([not row['calibrated'] for row in rows]):.1%} of the batches had too few held-out calls.")


if __name__ == "__main__":
    main()
