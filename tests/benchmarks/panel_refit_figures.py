"""What the panel refit is worth: every split is trained once, and calibrated with and without it.

    python -m tests.benchmarks.panel_refit_figures LABELS [--catalog FILE] [--seeds 0 1 2 3 4] [--method frozen]

Success is that of the exact MIP at mean prices, relative to the best single model. The intervals of the gain are those
of a paired bootstrap over groups of related test instructions, which are drawn alike in all splits.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from routing_assets.allocation import AllocationProblem, InfeasibleBudget, allocate
from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.datasets.splits import split_instructions
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.train import train_classifier
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import SentenceEncoder
from routing_assets.prediction.panel_refit import try_panel_refit
from routing_assets.prediction.router import RouterConfig, calibrated_router, calibration_data
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import read_catalog
from routing_assets.pricing.cost_model import fit_cost_model
from routing_assets.routers.label_sources import read_labels
from tests.benchmarks.prediction_ablation import quality

BUDGETS = (0.3, 0.5, 0.7, 1.0)
REPLICATES = 1000


def with_and_without(
    labels: LabelledInstructions,
    catalog: ModelCatalog | None,
    seed: int,
    config: ClassifierConfig,
    embeddings: EmbeddingCache,
) -> tuple[np.ndarray, np.ndarray]:
    """The test rows (n,) of a split, and their relative success (2, F, n) without the refit and with it; both are equal
    where it is refused. Prints the figures of the split.
    """
    split = split_instructions(labels.instruction, labels.group, seed=seed)
    config = replace(config, training=replace(config.training, seed=seed))
    classifier = train_classifier(labels, split.train, split.validation, config, embeddings_cache=embeddings)
    logits, success, component = calibration_data(classifier, labels, split)
    trial = try_panel_refit(logits, success, component, seed)
    tqdm.write(f"seed {seed}, {trial.why}")
    test = labels.take(split.test)
    price = fit_cost_model(labels.take(split.train), catalog, "mean").estimate(test.instruction, test.task).mean
    unscored = classifier.logits(test.instruction, test.task)
    each = []
    for refit, known in ((None, logits), (trial.refit, trial.logits)):
        router = calibrated_router(classifier, refit, known, success, component, RouterConfig(config))
        p = router.probabilities(unscored).decision
        each.append([routed(p, test.success, price, share) for share in BUDGETS])
        means = ", ".join(f"{of_budget.mean():.4f}" for of_budget in each[-1])
        figures = ", ".join(f"{name} {value:.4f}" for name, value in quality(p, test).items())
        tqdm.write(f"  {'without' if refit is None else 'with'}: {figures}; success {means}; {router.decision}")
    return split.test, np.array(each)


def routed(probability: np.ndarray, success: np.ndarray, price: np.ndarray, share: float) -> np.ndarray:
    """Success (n,) of the allocation, relative to the best single model; NaN where the budget does not pay for it."""
    try:
        choice = allocate(AllocationProblem(probability, price, share * price.sum(axis=0).max() * (1 + 1e-9))).choice
    except InfeasibleBudget:
        return np.full(len(success), np.nan)
    return np.asarray(success[np.arange(len(success)), choice] / success.mean(axis=0).max())


def gain(component: np.ndarray, splits: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Mean gain over the splits at each budget, and its 95 % interval: (3, F)."""
    rng, groups = np.random.default_rng(0), component.max() + 1
    weights = [
        np.ones(groups),
        *(np.bincount(rng.integers(0, groups, groups), minlength=groups) for _ in range(REPLICATES)),
    ]
    drawn = np.array([
        np.mean([np.average(s[1] - s[0], axis=1, weights=w[component[rows]]) for rows, s in splits], axis=0)
        for w in weights
    ])  # fmt: skip
    return np.array([drawn[0], *np.quantile(drawn[1:], [0.025, 0.975], axis=0)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels")
    parser.add_argument("--catalog")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--method", default="frozen")
    options = parser.parse_args()
    labels, catalog = read_labels(options.labels), read_catalog(options.catalog)
    catalog = None if catalog is None else catalog.select(labels.models)
    config = ClassifierConfig(method=options.method)
    embeddings = EmbeddingCache(SentenceEncoder(config.encoder), None)
    splits = [with_and_without(labels, catalog, seed, config, embeddings) for seed in tqdm(options.seeds)]
    for share, (mean, low, high) in zip(
        BUDGETS, gain(related_rows(labels.instruction, labels.group), splits).T, strict=True
    ):
        print(f"gain at {share:.0%}: {100 * mean:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}]")


if __name__ == "__main__":
    main()
