"""Routing value against labelling spend: planned pairs of instruction and model against random instructions.

    python -m tests.benchmarks.label_plan [--data DIR] [--seeds 5] [--plans random spread ...] [--output DIR]

The measured tables are masked: a plan buys some cells of the pool, a router is trained on these alone, and routes a
test set that no plan sees. Routing value is the success of ``mip`` above the best fixed mixture of models for the same
money, mean over budgets. Spend is a share of what all cells of the pool cost.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.datasets.splits import split_instructions
from routing_assets.evaluation.metrics import hull_success, non_decreasing_hull
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
from routing_assets.prediction.encoder.text import fit_text_preparation
from routing_assets.prediction.router import RouterConfig, fit_router
from routing_assets.pricing.catalog_table import read_catalog
from routing_assets.pricing.recorded_costs import recorded_costs
from routing_assets.routers.label_sources import read_labels

MOST_INSTRUCTIONS = 2_500
POOL = 1_000
BUDGETS = (0.2, 0.3, 0.4, 0.5, 0.7)
"""Of the dearest model's spend on the test set."""
SHARES = (0.05, 0.1, 0.2, 0.4)
THREE = ("gpt-4-1106-preview", "mistralai/mixtral-8x7b-chat", "mistralai/mistral-7b-chat")


@dataclass(frozen=True, eq=False)
class Pool:
    """What a plan may see: no success."""

    task: np.ndarray
    price: np.ndarray  # (K,)
    embedding: np.ndarray


@dataclass(frozen=True, eq=False)
class Masked:
    labels: LabelledInstructions
    success: np.ndarray  # NaN where masked
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.success)

    @property
    def known(self) -> LabelledInstructions:
        labelled = np.isfinite(self.success).any(axis=1)
        return replace(self.labels, success=self.success).take(labelled)


def everything(order: np.ndarray, pool: Pool, budget: float) -> np.ndarray:
    chosen = np.zeros((len(order), len(pool.price)), bool)
    chosen[order[: int(budget / pool.price.sum())]] = True
    return chosen


def random(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    return everything(rng.permutation(len(pool.embedding)), pool, budget)


def narrow(power: float, order: Callable[[Pool, int, np.random.Generator], np.ndarray]):
    """As many labels of a model as its price to the minus ``power``, of the first instructions of one order."""

    def plan(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
        n, price = len(pool.embedding), pool.price
        low, high = 0.0, 1e12
        count = lambda scale: np.minimum(n, scale * price**-power)
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if count(middle) @ price <= budget else (low, middle)
        counts = count(low).astype(int)
        ordered = order(pool, int(counts.max()), rng)
        chosen = np.zeros((n, len(price)), bool)
        for k, c in enumerate(counts):
            chosen[ordered[:c], k] = True
        return chosen

    return plan


def shuffled(pool: Pool, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(len(pool.embedding))


def pairs(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    """Random pairs."""
    n, k = len(pool.embedding), len(pool.price)
    cells = rng.permutation(n * k)
    within = np.cumsum(pool.price[cells % k]) <= budget
    chosen = np.zeros(n * k, bool)
    chosen[cells[within]] = True
    return chosen.reshape(n, k)


def kmeans(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    n = int(budget / pool.price.sum())
    fitted = KMeans(n, n_init=1, max_iter=10, random_state=int(rng.integers(2**31))).fit(pool.embedding)
    distance = fitted.transform(pool.embedding)
    chosen = np.unique(distance.argmin(axis=0))
    rest = rng.permutation(np.setdiff1d(np.arange(len(pool.embedding)), chosen))
    return everything(np.concatenate([chosen, rest]), pool, budget)


def farthest(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    n = int(budget / pool.price.sum())
    order = [int(rng.integers(len(pool.embedding)))]
    near = pool.embedding @ pool.embedding[order[0]]
    for _ in range(n - 1):
        order.append(int(near.argmin()))
        near = np.maximum(near, pool.embedding @ pool.embedding[order[-1]])
    chosen = np.zeros((len(near), len(pool.price)), bool)
    chosen[order] = True
    return chosen


def stratified_order(pool: Pool, n: int, rng: np.random.Generator) -> np.ndarray:
    """Proportionally from 20 clusters in turn."""
    code = KMeans(20, n_init=1, random_state=int(rng.integers(2**31))).fit_predict(pool.embedding)
    place = np.empty(len(code))
    for c in np.unique(code):
        rows = rng.permutation(np.flatnonzero(code == c))
        place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place, kind="stable")


def stratified(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    return everything(stratified_order(pool, 0, rng), pool, budget)


PLANS = {
    "random": random,
    "pairs": pairs,
    "kmeans": kmeans,
    "farthest": farthest,
    "stratified": stratified,
    "narrow_0.5": narrow(0.5, shuffled),
    "narrow_1": narrow(1.0, shuffled),
    "narrow_0.5_stratified": narrow(0.5, stratified_order),
}


def tables(data: Path) -> dict[str, tuple[LabelledInstructions, np.ndarray]]:
    router_bench = read_labels(str(data / "routerbench_subset.parquet"))
    emotion = read_labels(str(data / "llm_uncertainty_bench_emotion"), signals=False)
    catalog = read_catalog("simulated:llm_uncertainty_bench").select(emotion.models)
    of_bench = np.nanmean(router_bench.cost, axis=0)
    three = [router_bench.models.index(m) for m in THREE]
    return {
        "routerbench": (router_bench, of_bench),
        "emotion": (emotion, np.nanmean(recorded_costs(emotion, catalog).cost, axis=0)),
        "routerbench_three": (router_bench.of_models(THREE), of_bench[three]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--plans", nargs="+", default=list(PLANS), choices=PLANS)
    parser.add_argument("--tables", nargs="+")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--learner", choices=LEARNERS, default="heads")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    cache = EmbeddingCache(SentenceEncoder(EncoderConfig()), options.output / "embeddings")
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "rows.jsonl").open("a") as out:
        for seed in options.seeds:
            for name, (labels, price) in tables(options.data).items():
                if options.tables and name not in options.tables:
                    continue
                for row in measure(
                    name, labels, price, seed, options.plans, options.shares, cache, options.learner, options.draws
                ):
                    out.write(json.dumps(row) + "\n")
                    out.flush()
                    print(row, flush=True)


def measure(name, labels, price, seed, plans, shares, cache, learner, draws):
    labels = labels.without_signals()
    component = related_rows(labels.instruction, labels.group)
    first = np.unique(component, return_index=True)[1]
    labels = labels.take(np.sort(np.random.default_rng((0, 1)).permutation(first)[:MOST_INSTRUCTIONS]))
    preparation = fit_text_preparation(labels.instruction)
    labels = replace(
        labels, instruction=np.array(preparation.prepare(list(labels.instruction)), object), task=None, cost=None
    )
    component = related_rows(labels.instruction, labels.group)
    order = np.random.default_rng((seed, 1)).permutation(len(labels))
    test, pool = labels.take(order[POOL:]), labels.take(order[:POOL])
    embedding = cache.embed(list(labels.instruction))[:, -cache.encoder.width :]
    centred = embedding.astype(np.float64) - embedding.mean(axis=0)
    features = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -64:]
    embedding = embedding[order[:POOL]]
    pool, test = Masked(pool, pool.success, features[order[:POOL]]), Masked(test, test.success, features[order[POOL:]])
    seen = Pool(None, price, embedding)
    whole = len(pool) * price.sum()
    yield {"table": name, "seed": seed, "plan": "all", "share": 1.0, **value(pool, test, price, seed, cache, learner)}
    for plan in plans:
        for share in shares:
            for draw in range(draws):
                chosen = PLANS[plan](seen, share * whole, np.random.default_rng((seed, 2, draw)))
                assert (chosen * price).sum() <= share * whole * (1 + 1e-9)
                masked = replace(pool, success=np.where(chosen, pool.success, np.nan))
                got = value(masked, test, price, seed, cache, learner)
                yield {
                    "table": name,
                    "seed": seed,
                    "plan": plan,
                    "share": share,
                    "draw": draw,
                    "labels": int(chosen.sum()),
                    **got,
                }


def heads(labelled, test, seed, cache):
    """The heads on frozen embeddings of a router, as ``train --method frozen`` makes them, without companions."""
    labelled, test = labelled.known, test.labels
    config = ClassifierConfig(method="frozen", companions=(), members=3)
    config = replace(config, training=replace(config.training, seed=seed))
    split = split_instructions(labelled.instruction, labelled.group, seed=seed)
    return (
        fit_router(labelled, split, RouterConfig(config, decision="scaled"), embeddings_cache=cache)
        .predict(test.instruction)
        .decision
    )


def ridge(labelled, test, seed, cache):
    """Ridge regression on 64 principal components of the embeddings of each model's labels; strength by leave-one-out."""
    out = np.empty(test.success.shape)
    for k in range(out.shape[1]):
        known = np.isfinite(labelled.success[:, k])
        a, y = labelled.features[known], labelled.success[known, k].astype(np.float64)
        centre, rate = a.mean(axis=0), (y.sum() + 1) / (len(y) + 2)
        a = a - centre
        s, v = np.linalg.eigh(a.T @ a)
        s, u = np.maximum(s, 0.0), a @ v
        seen = u.T @ (y - rate)
        best = np.inf
        for strength in (1.0, 3.0, 10.0, 30.0, 1e6):
            fitted = rate + u @ (seen / (s + strength))
            leverage = (u**2) @ (1 / (s + strength)) + 1 / len(y)
            error = np.mean(((y - fitted) / np.maximum(1 - leverage, 0.05)) ** 2)
            if error < best:
                best, weights = error, v @ (seen / (s + strength))
        out[:, k] = rate + (test.features - centre) @ weights
    return np.clip(out, 0.01, 0.99)


LEARNERS = {"heads": heads, "ridge": ridge}


def value(labelled, test, price, seed, cache, learner):
    p = LEARNERS[learner](labelled, test, seed, cache)
    truth, rows = test.success, np.arange(len(test))
    hull = non_decreasing_hull(price, truth.mean(axis=0))
    gains = []
    for fraction in BUDGETS:
        budget = fraction * price.max() * len(rows)
        if budget < price.min() * len(rows):
            continue
        low, high = 0.0, 1.0 / price.min()
        for _ in range(30):  # the price of money at which the best choices cost no more than the budget
            middle = (low + high) / 2
            over = price[(p - middle * price).argmax(axis=1)].sum() > budget
            low, high = (middle, high) if over else (low, middle)
        choice = (p - high * price).argmax(axis=1)
        gains.append(truth[rows, choice].mean() - hull_success(hull, fraction * price.max()))
    q = np.clip(p, 1e-6, 1 - 1e-6)
    return {
        "value": float(np.mean(gains)),
        "log_loss": float(-(truth * np.log(q) + (1 - truth) * np.log(1 - q)).mean()),
    }


if __name__ == "__main__":
    main()
