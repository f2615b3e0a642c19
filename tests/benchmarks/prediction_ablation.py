"""What each step of the prediction is worth: log-loss and realised routing value, several seeds, on any label table.

    python -m tests.benchmarks.prediction_ablation LABELS [--catalog FILE]
        [--seeds 5] [--share 1] [--tuned] [--only NAME]

Every row of the table is one change to the one above it or a named alternative; allocation is the exact MIP at mean
prices. Rows of a seed share their split, so differences between rows are paired.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from routing_assets.allocation import AllocationProblem, InfeasibleBudget, allocate
from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.datasets.splits import Split, split_instructions
from routing_assets.prediction.calibration.estimate import Estimate, estimate
from routing_assets.prediction.calibration.quality import calibration_metrics
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
from routing_assets.prediction.router import RouterConfig, fit_router
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import read_catalog
from routing_assets.pricing.cost_model import fit_cost_model
from routing_assets.routers.label_sources import read_labels

BUDGETS = (0.2, 0.3, 0.5, 0.7, 1.0)
ESTIMATES: tuple[Estimate, ...] = ("scaled", "bucket", "shrunken", "lower_bound")
DEFAULT = ClassifierConfig(method="frozen")
HEADS = replace(DEFAULT, companions=())
SETTINGS: dict[str, ClassifierConfig] = {
    "one head, last layer": replace(HEADS, members=1, stacking=False, encoder=EncoderConfig(pooled_layers=(-1,))),
    "one head, last three layers": replace(HEADS, members=1, stacking=False),
    "five cross-fitted heads": HEADS,
    "heads and neighbours, stacked": replace(DEFAULT, companions=("neighbours",)),
    "heads and lexical model, stacked": replace(DEFAULT, companions=("lexical",)),
    "heads, lexical model and neighbours, stacked (frozen, default)": DEFAULT,
}
TUNED: dict[str, ClassifierConfig] = {
    "upper three layers tuned": replace(HEADS, method="upper_layers", tuned_layers=3),
    "upper five layers tuned": replace(HEADS, method="upper_layers"),
    "upper five layers tuned, two networks": replace(HEADS, method="upper_layers", tuned_members=2),
    "upper five layers tuned, lexical model and neighbours, stacked (default for many texts)": replace(
        DEFAULT, method="upper_layers"
    ),
    "all layers of five networks tuned, lexical model and neighbours, stacked (default with a GPU)": replace(
        DEFAULT, method="finetune", tuned_members=5
    ),
    "chosen by auto": ClassifierConfig(),
}


def prediction_ablation(
    labels: LabelledInstructions,
    catalog: ModelCatalog | None,
    seeds: Sequence[int],
    settings: dict[str, ClassifierConfig],
    cache: Path | None = None,
    share: float = 1.0,
) -> pa.Table:
    """One row per seed, setting and estimate: ``log_loss, auc, ece`` (means over the models), seconds of the fit
    (embeddings cached after the first) and success relative to the best single model at each budget. ``share`` of the
    texts that do not test are learnt from.
    """
    caches = {c.encoder: EmbeddingCache(SentenceEncoder(c.encoder), cache) for c in settings.values()}
    rows: list[dict[str, Any]] = []
    for seed in tqdm(seeds, unit="seed"):
        split = smaller(split_instructions(labels.instruction, labels.group, seed=seed), labels, share, seed)
        test = labels.take(split.test)
        price = fit_cost_model(labels.take(split.train), catalog, "mean").estimate(test.instruction, test.task).mean
        for name, setting in settings.items():
            config = RouterConfig(replace(setting, training=replace(setting.training, seed=seed)))
            wall, cpu = time.perf_counter(), time.process_time()
            router = fit_router(labels, split, config, embeddings_cache=caches[setting.encoder])
            seconds = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
            predicted = router.predict(test.instruction, test.task)
            estimates = {"raw": predicted.raw, "auto": predicted.decision}
            for step in ESTIMATES:
                estimates[step] = estimate(step, predicted.scaled, router.buckets)
            for step, probability in estimates.items():
                about = {"seed": seed, "setting": name, "estimate": step}
                rows.append(
                    about | quality(probability, test) | seconds | routing_value(probability, test.success, price)
                )
    return pa.Table.from_pylist(rows)


def smaller(split: Split, labels: LabelledInstructions, share: float, seed: int) -> Split:
    """The split with a random ``share`` of its texts, but all of its test rows."""
    component = related_rows(labels.instruction, labels.group)
    kept = np.random.default_rng(seed).random(component.max() + 1) < share
    fewer = {name: rows[kept[component[rows]]] for name, rows in split.parts() if name != "test"}
    return replace(split, **fewer)


def quality(probability: np.ndarray, test: LabelledInstructions) -> dict[str, float]:
    """Mean over the models of log-loss, AUC and calibration error."""
    metrics = calibration_metrics(probability, test.success, test.models)
    return {name: float(np.nanmean(metrics[name].to_numpy())) for name in ("log_loss", "auc", "ece")}


def routing_value(probability: np.ndarray, success: np.ndarray, price: np.ndarray) -> dict[str, float]:
    """Realised success of the MIP allocation relative to the best single model, at each fraction of the dearest
    model's spend.
    """
    rows, best = np.arange(len(success)), success.mean(0).max()
    values = {}
    for fraction in BUDGETS:
        budget = fraction * price.sum(0).max()
        try:
            choice = allocate(AllocationProblem(probability, price, budget)).choice
            values[f"value_{fraction}"] = float(success[rows, choice].mean() / best)
        except InfeasibleBudget:
            values[f"value_{fraction}"] = float("nan")
    return values


def summary(table: pa.Table) -> str:
    """A Markdown table of means and 95 % intervals over the seeds."""
    figures = [name for name in table.column_names if name not in ("seed", "setting", "estimate")]
    rows = table.to_pylist()
    lines = ["| setting | estimate | " + " | ".join(figures) + " |", "|" + "---|" * (len(figures) + 2)]
    for setting, step in dict.fromkeys((row["setting"], row["estimate"]) for row in rows):
        of_seeds = [row for row in rows if (row["setting"], row["estimate"]) == (setting, step)]
        cells = []
        for figure in figures:
            values = np.array([row[figure] for row in of_seeds])
            width = 1.96 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
            cells.append(f"{values.mean():.4f} ± {width:.4f}")
        lines.append(f"| {setting} | {step} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels")
    parser.add_argument("--catalog")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tuned", action="store_true", help="also tune the encoder's upper layers (minutes per seed)")
    parser.add_argument("--only", action="append", help="settings whose name holds this (repeatable)")
    parser.add_argument("--share", type=float, default=1.0, help="share of the texts that are learnt from")
    parser.add_argument("--threads", type=int, help="CPU threads of a training (default: all)")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    labels = read_labels(options.labels)
    catalog = read_catalog(options.catalog)
    catalog = None if catalog is None else catalog.select(labels.models)
    settings = SETTINGS | (TUNED if options.tuned else {})
    if options.only:
        settings = {name: setting for name, setting in settings.items() if any(part in name for part in options.only)}
    settings = {name: replace(setting, threads=options.threads) for name, setting in settings.items()}
    table = prediction_ablation(labels, catalog, range(options.seeds), settings, share=options.share)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, options.output / "prediction_ablation.parquet")
        (options.output / "prediction_ablation.md").write_text(summary(table) + "\n")
    print(summary(table))


if __name__ == "__main__":
    main()
