"""How good the router is on a model that joined with k labels, on any label table.

    python -m tests.benchmarks.new_model_figures LABELS [--models 4] [--draws 5] [--seeds 1]

Every left-out model is learnt by a classifier that has never seen it; a line is the mean over left-out models, splits
and draws of k labelled training instructions. Two controls: the model's success rate among the k labels alone, and
the classifier that learnt the model from all training labels.
"""

from __future__ import annotations

import argparse

import numpy as np
import pyarrow as pa

from routing_assets.datasets.splits import split_instructions
from routing_assets.prediction.calibration.quality import calibration_metrics
from routing_assets.prediction.calibration.temperatures import sigmoid
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.train import train_classifier
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
from routing_assets.routers.label_sources import read_labels
from tests.benchmarks.new_model_curve import new_model_curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels")
    parser.add_argument("--models", type=int, default=4, help="left-out models, evenly from the most to the least able")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    labels, config = read_labels(options.labels), ClassifierConfig(method="frozen")
    cache = EmbeddingCache(SentenceEncoder(EncoderConfig()))
    able = np.argsort(-np.nanmean(labels.success, axis=0))
    left_out = [labels.models[k] for k in able[np.linspace(0, len(able) - 1, options.models).round().astype(int)]]
    curves, everything = [], []
    for seed in range(options.seeds):
        split = split_instructions(labels.instruction, labels.group, seed=seed)
        curves.append(
            new_model_curve(
                labels,
                split.train,
                split.validation,
                split.test,
                config,
                models=left_out,
                draws=options.draws,
                embeddings_cache=cache,
            )
        )
        test = labels.take(split.test)
        full = train_classifier(labels, split.train, split.validation, config, embeddings_cache=cache)
        quality = calibration_metrics(sigmoid(full.logits(test.instruction, test.task)), test.success, labels.models)
        everything += [row for row in quality.to_pylist() if row["model"] in left_out]
    rows = pa.concat_tables(curves).to_pylist()
    print(f"left out in turn: {', '.join(left_out)}")
    print("| labels of the new model | log-loss | its rate alone | AUC |\n|---|---|---|---|")
    for k in sorted({row["labels"] for row in rows}):
        of_k = [row for row in rows if row["labels"] == k]
        print(f"| {k} | {_mean(of_k, 'log_loss')} | {_mean(of_k, 'rate_log_loss')} | {_mean(of_k, 'auc')} |")
    print(f"| all, learnt with the others | {_mean(everything, 'log_loss')} | – | {_mean(everything, 'auc')} |")


def _mean(rows: list[dict[str, float]], name: str) -> str:
    values = np.array([row[name] for row in rows])
    return f"{values.mean():.3f} ± {1.96 * values.std(ddof=1) / np.sqrt(len(values)):.3f}"


if __name__ == "__main__":
    main()
