"""Routing value against labelling spend, by how the labels are chosen: the tables of ``docs/from-nothing.md``.

    python -m tests.benchmarks.label_plan --output DIR [--data DIR] [--learner ridge] [--seeds 0 1 2 3 4]

The measured tables are masked. A plan buys cells of a pool of 1,000 instructions, a router learns from these alone, and
routes 1,500 instructions that no plan sees. Routing value is its success above that of the best fixed mixture of models
for the same money, picked in hindsight, mean over budgets. Spend is a share of what all cells of the pool cost. A line
per measurement is appended to ``DIR/rows.jsonl``; those that are there are not measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans

from routing_assets.batches.label_plan import widths
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.datasets.splits import split_instructions
from routing_assets.evaluation.label_curve import BUDGET, gain_of
from routing_assets.evaluation.label_curve import SHARES as SHARES_OF_CURVE
from routing_assets.evaluation.metrics import cost_to_reach, hull_success, non_decreasing_hull
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
from routing_assets.prediction.encoder.text import fit_text_preparation
from routing_assets.prediction.router import RouterConfig, fit_router
from routing_assets.pricing.catalog_table import read_catalog
from routing_assets.pricing.recorded_costs import recorded_costs
from routing_assets.routers.label_sources import read_labels

INSTRUCTIONS, POOL = 2_500, 1_000
SHARES = (0.03, 0.06, 0.12, 0.25, 0.5, 0.75)
BUDGETS = (0.2, 0.3, 0.4, 0.5, 0.7)
"""Of the dearest model's spend on the test set."""
THREE = ("gpt-4-1106-preview", "mistralai/mixtral-8x7b-chat", "mistralai/mistral-7b-chat")
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 1e6)
BASELINE, WANTED = "random", 0.95
REPLICATES = 2_000


@dataclass(frozen=True, eq=False)
class Rows:
    """Instructions with their success, NaN where it is masked, and the principal components of their embeddings."""

    labels: LabelledInstructions
    success: np.ndarray
    features: np.ndarray

    def masked(self, chosen: np.ndarray) -> Rows:
        """With nothing but the chosen cells."""
        return replace(self, success=np.where(chosen, self.success, np.nan))


@dataclass(frozen=True, eq=False)
class Pool:
    """What a plan sees: embeddings (N, D) and mean costs of a call (K,)."""

    embedding: np.ndarray
    price: np.ndarray

    def nested(self, order: np.ndarray, budget: float, narrowing: float) -> np.ndarray:
        """(N, K) as ``labels plan`` chooses, from an order."""
        cost = np.tile(self.price, (len(order), 1))
        chosen = np.zeros(cost.shape, bool)
        for k, count in enumerate(widths(cost, self.price, Fraction(budget), narrowing)):
            chosen[order[:count], k] = True
        return chosen


Plan = Callable[[Pool, float, np.random.Generator], np.ndarray]
Order = Callable[[Pool, float, np.random.Generator], np.ndarray]


def nested(order: Order, narrowing: float) -> Plan:
    return lambda pool, budget, rng: pool.nested(order(pool, budget, rng), budget, narrowing)


def at_random(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(len(pool.embedding))


def from_clusters_in_turn(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    """From each of 20 clusters in proportion to its size."""
    cluster = KMeans(20, n_init=1, random_state=int(rng.integers(2**31))).fit_predict(pool.embedding)
    place = np.empty(len(cluster))
    for code in np.unique(cluster):
        rows = rng.permutation(np.flatnonzero(cluster == code))
        place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place, kind="stable")


def centres_first(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    """The instruction next to the centre of each of as many clusters as the budget pays for."""
    affordable = max(1, int(budget / pool.price.sum()))
    fitted = KMeans(affordable, n_init=1, max_iter=10, random_state=int(rng.integers(2**31))).fit(pool.embedding)
    centres = np.unique(fitted.transform(pool.embedding).argmin(axis=0))
    return np.concatenate([centres, rng.permutation(np.setdiff1d(np.arange(len(pool.embedding)), centres))])


def farthest_first(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    """Each the one farthest from those before (k-center)."""
    order = [int(rng.integers(len(pool.embedding)))]
    near = pool.embedding @ pool.embedding[order[0]]
    while len(order) < len(near):
        near[order[-1]] = np.inf
        order.append(int(near.argmin()))
        near = np.maximum(near, pool.embedding @ pool.embedding[order[-1]])
    return np.array(order)


def random_pairs(pool: Pool, budget: float, rng: np.random.Generator) -> np.ndarray:
    n, k = len(pool.embedding), len(pool.price)
    cells = rng.permutation(n * k)
    chosen = np.zeros(n * k, bool)
    chosen[cells[np.cumsum(pool.price[cells % k]) <= budget]] = True
    return chosen.reshape(n, k)


PLANS: dict[str, Plan] = {
    BASELINE: nested(at_random, 0.0),
    "random_pairs": random_pairs,
    "clusters": nested(from_clusters_in_turn, 0.0),
    "centres": nested(centres_first, 0.0),
    "farthest": nested(farthest_first, 0.0),
    "narrow_0.5": nested(at_random, 0.5),
    "narrow_1": nested(at_random, 1.0),
    "narrow_0.5_clusters": nested(from_clusters_in_turn, 0.5),
}


def heads(known: Rows, test: Rows, seed: int, cache: EmbeddingCache) -> np.ndarray:
    """The heads on frozen embeddings of ``train --method frozen``, three of them, without companions."""
    labelled = np.isfinite(known.success).any(axis=1)
    labels = replace(known.labels, success=known.success).take(labelled)
    config = ClassifierConfig(method="frozen", companions=(), members=3)
    config = replace(config, training=replace(config.training, seed=seed))
    split = split_instructions(labels.instruction, seed=seed)
    router = fit_router(labels, split, RouterConfig(config, decision="scaled"), embeddings_cache=cache)
    return router.predict(test.labels.instruction).scaled


def ridge(known: Rows, test: Rows, seed: int, cache: EmbeddingCache) -> np.ndarray:
    """Ridge regression of each model on its labels; its strength by leave-one-out."""
    predicted = np.empty(test.success.shape)
    for k in range(predicted.shape[1]):
        labelled = np.isfinite(known.success[:, k])
        y = known.success[labelled, k].astype(np.float64)
        centre, rate = known.features[labelled].mean(axis=0), (y.sum() + 1) / (len(y) + 2)
        x = known.features[labelled] - centre
        scale, axes = np.linalg.eigh(x.T @ x)
        along = x @ axes
        seen, errors, weights = along.T @ (y - rate), [], []
        for strength in STRENGTHS:
            shrink = 1 / (scale.clip(0) + strength)
            leverage = along**2 @ shrink + 1 / len(y)
            errors.append(np.mean(((y - rate - along @ (shrink * seen)) / (1 - leverage).clip(0.05)) ** 2))
            weights.append(axes @ (shrink * seen))
        predicted[:, k] = rate + (test.features - centre) @ weights[int(np.argmin(errors))]
    return predicted.clip(0.01, 0.99)


LEARNERS = {"ridge": ridge, "heads": heads}


def value(p: np.ndarray, truth: np.ndarray, price: np.ndarray, budgets: Sequence[float] = BUDGETS) -> dict[str, float]:
    """Routing value, success and log-loss of predictions (n, K)."""
    rows, gains, successes = np.arange(len(truth)), list[float](), list[float]()
    hull = non_decreasing_hull(price, truth.mean(axis=0))
    for mean_budget in (fraction * price.max() for fraction in budgets if fraction * price.max() >= price.min()):
        low, high = 0.0, 1.0 / price.min()
        for _ in range(30):  # the least price of money at which the best choices keep the budget
            middle = (low + high) / 2
            dear = price[(p - middle * price).argmax(axis=1)].mean() > mean_budget
            low, high = (middle, high) if dear else (low, middle)
        successes.append(float(truth[rows, (p - high * price).argmax(axis=1)].mean()))
        gains.append(successes[-1] - float(hull_success(hull, mean_budget)))
    loss = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean()
    return {"value": float(np.mean(gains)), "success": float(np.mean(successes)), "log_loss": float(loss)}


def tables(data: Path) -> dict[str, tuple[LabelledInstructions, np.ndarray]]:
    """The measured tables with the mean cost of a call of each model."""
    bench = read_labels(str(data / "routerbench_subset.parquet"))
    emotion = read_labels(str(data / "llm_uncertainty_bench_emotion"))
    catalog = read_catalog("simulated:llm_uncertainty_bench")
    prices = recorded_costs(emotion, catalog and catalog.select(emotion.models)).cost
    three = bench.of_models(THREE)
    return {
        "RouterBench": (bench, np.nanmean(bench.cost, axis=0)),
        "Emotion": (emotion, np.nanmean(prices, axis=0)),
        "RouterBench, 3 models": (three, np.nanmean(three.cost, axis=0)),
    }


def rows_of(labels: LabelledInstructions, cache: EmbeddingCache) -> tuple[Rows, np.ndarray]:
    """A fixed sample of distinct instructions with their features, and their embeddings."""
    distinct = np.unique(related_rows(labels.instruction), return_index=True)[1]
    sample = np.sort(np.random.default_rng((0, 1)).permutation(distinct)[:INSTRUCTIONS])
    labels = replace(labels.without_signals(), task=None, cost=None).take(sample)
    prepared = fit_text_preparation(labels.instruction).prepare(list(labels.instruction))
    embedding = cache.embed(prepared)[:, -cache.encoder.width :]
    centred = embedding.astype(np.float64) - embedding.mean(axis=0)
    features = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -64:]
    return Rows(replace(labels, instruction=np.array(prepared, object)), labels.success, features), embedding


def measure(
    name: str,
    labels: LabelledInstructions,
    price: np.ndarray,
    cache: EmbeddingCache,
    options: argparse.Namespace,
    known: set[tuple[Any, ...]],
) -> Iterator[dict[str, Any]]:
    everything, embedding = rows_of(labels, cache)
    learn, whole = LEARNERS[options.learner], POOL * price.sum()
    for seed in options.seeds:
        order = np.random.default_rng((seed, 1)).permutation(len(embedding))
        pool, test = (
            Rows(everything.labels.take(rows), everything.success[rows], everything.features[rows])
            for rows in (order[:POOL], order[POOL:])
        )
        seen = Pool(embedding[order[:POOL]], price)
        wanted = [
            ("all", 1.0, 0),
            *((p, s, d) for p in options.plans for s in options.shares for d in range(options.draws)),
        ]
        for plan, share, draw in wanted:
            about = {
                "table": name,
                "learner": options.learner,
                "seed": seed,
                "plan": plan,
                "share": share,
                "draw": draw,
            }
            if tuple(about.values()) in known:
                continue
            rng = np.random.default_rng((seed, 2, draw))
            chosen = np.isfinite(pool.success) if plan == "all" else PLANS[plan](seen, share * whole, rng)
            predicted = learn(pool.masked(chosen), test, seed, cache)
            yield about | {"labels": int(chosen.sum())} | value(predicted, test.success, price)


def promises(name: str, labels: LabelledInstructions, price: np.ndarray, cache: EmbeddingCache, seeds: Sequence[int]):
    """What ``labels curve`` would promise of twice as many labels, with half of a pool, and what they really add."""
    everything, _ = rows_of(labels, cache)
    half = POOL // 2
    n = np.array(SHARES_OF_CURVE) * half

    def success(learnt: np.ndarray, judged: np.ndarray) -> float:
        known, test = (
            Rows(everything.labels.take(rows), everything.success[rows], everything.features[rows])
            for rows in (learnt, judged)
        )
        return value(ridge(known, test, 0, cache), test.success, price, budgets=(BUDGET,))["success"]

    for seed in seeds:
        order = np.random.default_rng((seed, 1)).permutation(len(everything.success))
        measured = np.empty((5, len(n)))
        for s in range(5):
            split = np.random.default_rng((seed, 3, s)).permutation(order[:half])
            held_out, rest = split[: half // 5], split[half // 5 :]
            measured[s] = [success(rest[: int(share * len(rest))], held_out) for share in SHARES_OF_CURVE]
        promised = gain_of(n, measured, half, 0.0)
        really = success(order[:POOL], order[POOL:]) - success(order[:half], order[POOL:])
        yield {"table": name, "seed": seed, "really": really, **asdict(promised)}


def report(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: mean value and log-loss by share, and the spend that reaches ``WANTED`` of the value of all labels."""
    lines = []
    for name in dict.fromkeys(row["table"] for row in rows):
        of_table = [row for row in rows if row["table"] == name]
        plans = list(dict.fromkeys(row["plan"] for row in of_table if row["plan"] != "all"))
        shares = sorted({row["share"] for row in of_table})
        seeds = sorted({row["seed"] for row in of_table})
        mean = {
            (plan, share, seed, what): float(np.mean(found))
            for plan in (*plans, "all")
            for share in shares
            for seed in seeds
            for what in ("value", "log_loss")
            if (found := [r[what] for r in of_table if (r["plan"], r["share"], r["seed"]) == (plan, share, seed)])
        }
        full = np.array([mean["all", 1.0, seed, "value"] for seed in seeds])
        lines += [f"{name}: {len(seeds)} seeds; value of all labels {full.mean():.4f}", ""]
        lines += [
            "| plan | " + " | ".join(f"{s:.0%}" for s in shares) + f" | spend for {WANTED:.0%} | against random |"
        ]
        lines += ["|---" * (len(shares) + 3) + "|"]
        draws = np.random.default_rng(0).integers(len(seeds), size=(REPLICATES, len(seeds)))
        spend = {}
        for plan in plans:
            kept = [s for s in shares if s < 1 and all((plan, s, seed, "value") in mean for seed in seeds)]
            curve = np.array([[mean[plan, s, seed, "value"] for s in kept] for seed in seeds])
            curve = np.column_stack([curve, full])
            at = np.log(np.array([*kept, 1.0]))
            spend[plan] = np.array(
                [_spend(at, curve[chosen].mean(axis=0)) for chosen in [np.arange(len(seeds)), *draws]]
            )
            cells = []
            for share in shares:
                who = "all" if share == 1 else plan
                found = [
                    [mean[who, share, seed, w] for seed in seeds]
                    for w in ("value", "log_loss")
                    if (who, share, seeds[0], w) in mean
                ]
                cells.append(f"{np.mean(found[0]):.4f} ({np.mean(found[1]):.4f})" if found else "–")
            ratio = spend[plan] / spend.get(BASELINE, np.nan)
            lines += [f"| {plan} | " + " | ".join(cells) + f" | {_interval(spend[plan])} | {_interval(ratio)} |"]
        lines += [""]
    return lines


def _spend(log_share: np.ndarray, mean: np.ndarray) -> float:
    """The share of the spend at which a curve reaches ``WANTED`` of its last value."""
    return float(np.exp(cost_to_reach(log_share, mean, WANTED * mean[-1]) or 0.0))


def _interval(values: np.ndarray) -> str:
    """The value of all seeds, and the 90 % interval of the bootstrap over seeds."""
    low, high = np.quantile(values[1:], [0.05, 0.95])
    return f"{values[0]:.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--learner", choices=LEARNERS, default="ridge", help="heads take fifty times as long")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--plans", nargs="+", default=[BASELINE, "random_pairs", "clusters", "narrow_0.5", "narrow_1"])
    parser.add_argument("--tables", nargs="+")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--draws", type=int, default=2, help="of a plan on each pool")
    parser.add_argument("--promises", action="store_true", help="instead: how far promises of labels curve are kept")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    path, cache = (
        options.output / "rows.jsonl",
        EmbeddingCache(SentenceEncoder(EncoderConfig()), options.output / "embeddings"),
    )
    path.touch()
    if options.promises:
        for name, (labels, price) in tables(options.data).items():
            for row in promises(name, labels, price, cache, options.seeds):
                print(json.dumps(row), flush=True)
        return
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    known = {tuple(row[name] for name in ("table", "learner", "seed", "plan", "share", "draw")) for row in rows}
    with path.open("a") as file:
        for name, (labels, price) in tables(options.data).items():
            if options.tables and name not in options.tables:
                continue
            for row in measure(name, labels, price, cache, options, known):
                file.write(json.dumps(row) + "\n")
                file.flush()
                rows.append(row)
    print("\n".join(report([row for row in rows if row["learner"] == options.learner])))


if __name__ == "__main__":
    main()
