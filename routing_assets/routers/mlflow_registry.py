"""Experiment tracking and the model registry: MLflow on the SQLite store of ROUTING_HOME."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from routing_assets.routers.registry import Registry

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric
from mlflow.models import infer_signature

EXPERIMENT = "success_classifier"
REGISTERED_MODEL = "success_classifier"
ROUTER = "router_version"
DIGEST = 36
"""Characters that MLflow keeps of a dataset's hash."""
CHALLENGER, IN_FORCE, PREVIOUS = "challenger", "champion", "previous"


@dataclass(frozen=True)
class LabelSource:
    """Labels as an experiment's dataset: their name, the hash of their content, and how many instructions they have."""

    name: str
    content_hash: str
    instructions: int


@dataclass(frozen=True)
class LoggedClassifier:
    """Where MLflow keeps a classifier."""

    run_id: str
    model_version: int


def connect(registry: Registry) -> MlflowClient:
    """A client of the project's own store, made on first use under a lock: two migrations at once would fail."""
    registry.root.mkdir(parents=True, exist_ok=True)
    with FileLock(registry.root / ".mlflow.lock"):
        mlflow.set_tracking_uri(registry.uri)
        client = MlflowClient()
        if client.get_experiment_by_name(EXPERIMENT) is None:
            client.create_experiment(EXPERIMENT, artifact_location=registry.artifacts.as_uri())
    return client


def log_classifier(
    registry: Registry,
    directory: Path,
    models: tuple[str, ...],
    *,
    name: str,
    description: str,
    labels: LabelSource,
    parameters: Mapping[str, Any],
    losses: Sequence[Mapping[str, float]],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> LoggedClassifier:
    """Log a trained classifier and register it with the alias ``challenger``.

    Args:
        directory: what ``SuccessClassifier.save`` wrote; it becomes the model's artifact.
        name: of the run, as the list of runs shows it.
        description: of the run and of the model's version: one sentence.
        labels: what it learnt from; the run's dataset.
        losses: one mapping of metric name to value per epoch.
        metrics: figures on the test split.
        tags: Dagster run id and the like.
    """
    client = connect(registry)
    mlflow.set_experiment(EXPERIMENT)
    example = pd.DataFrame({"instruction": ["What is 2 + 2?"]})
    output = pd.DataFrame({model: np.zeros(1, dtype=np.float32) for model in models})
    tags = {"dataset": labels.name, "label_hash": labels.content_hash, **tags}
    with mlflow.start_run(run_name=name, tags=tags, description=description) as run:
        source = CodeDatasetSource({"instructions": labels.instructions, "models": len(models)})
        dataset = MetaDataset(source, labels.name, labels.content_hash[:DIGEST])  # type: ignore[abstract]
        mlflow.log_input(dataset, context="training")
        mlflow.log_params(dict(parameters))
        now = time.time_ns() // 1_000_000
        figures = [Metric(name, loss, now, epoch) for epoch, of in enumerate(losses) for name, loss in of.items()]
        figures += [Metric(re.sub(r"[^\w./ -]", "_", name), value, now, 0) for name, value in metrics.items()]
        client.log_batch(run.info.run_id, figures)
        with warnings.catch_warnings():
            # With an example, MLflow would load the model here; the signature says what it takes.
            warnings.filterwarnings("ignore", message=".*input example was not provided")
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("mlflow_model.py")),
                artifacts={"classifier": str(directory)},
                signature=infer_signature(example, output),
                pip_requirements=["routing_assets"],
            )
    if not client.search_registered_models(f"name = '{REGISTERED_MODEL}'"):
        client.create_registered_model(REGISTERED_MODEL)
    registered = client.create_model_version(  # by the client, which prints nothing
        REGISTERED_MODEL,
        logged.model_uri,
        run_id=run.info.run_id,
        model_id=logged.model_id,
        tags=tags,
        description=description,
    )
    version = int(registered.version)
    client.set_registered_model_alias(REGISTERED_MODEL, CHALLENGER, str(version))
    return LoggedClassifier(run.info.run_id, version)


def link_router(registry: Registry, model_version: int, router_version: str) -> None:
    """Tag a model version and its run with the router that uses it: the key of the ledger ``routers``."""
    client = connect(registry)
    client.set_model_version_tag(REGISTERED_MODEL, str(model_version), ROUTER, router_version)
    run_id = str(client.get_model_version(REGISTERED_MODEL, str(model_version)).run_id)
    client.set_tag(run_id, ROUTER, router_version)


def log_evaluation(registry: Registry, label_hash: str, files: Sequence[Path]) -> str | None:
    """Add an evaluation's files to the newest run trained on these labels; its id, or None where there is none."""
    if not registry.exists:
        return None
    client = connect(registry)
    experiment = mlflow.set_experiment(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], f"tags.label_hash = '{label_hash}'", max_results=1)
    for run in runs:
        for file in files:
            client.log_artifact(run.info.run_id, str(file), "evaluation")
        return str(run.info.run_id)
    return None


def register_recalibrated(registry: Registry, model_version: int, *, tags: Mapping[str, str]) -> LoggedClassifier:
    """Register a recalibrated router's classifier, which is that of ``model_version``, as a version of its own."""
    client = connect(registry)
    parent = client.get_model_version(REGISTERED_MODEL, str(model_version))
    source, run_id = str(parent.source), str(parent.run_id)
    version = client.create_model_version(
        REGISTERED_MODEL,
        source,
        run_id=run_id,
        tags=dict(tags),
        model_id=parent.model_id,
        description=f"The classifier of version {model_version}, whose probabilities another router uses differently.",
    )
    client.set_registered_model_alias(REGISTERED_MODEL, CHALLENGER, version.version)
    return LoggedClassifier(run_id, int(version.version))


def put_in_force(registry: Registry, model_version: int, previous: int | None = None) -> None:
    """Point ``champion`` at a version and ``previous`` at the one before; remove the version's alias ``challenger``."""
    client, version = connect(registry), str(model_version)
    aliases = {name: str(at) for name, at in client.get_registered_model(REGISTERED_MODEL).aliases.items()}
    for name, at in ((PREVIOUS, previous), (IN_FORCE, model_version)):
        if at is not None and aliases.get(name) != str(at):
            client.set_registered_model_alias(REGISTERED_MODEL, name, str(at))
    if aliases.get(CHALLENGER) == version:
        client.delete_registered_model_alias(REGISTERED_MODEL, CHALLENGER)
