"""A small trained installation, made once, and a private copy of it for each test that writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import SMALL_TRAINING, TWIN, MadeOnce, copy_installation

from routing_assets.cli import batches as batch_commands
from routing_assets.cli import prices as price_commands
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets import BatchInstructions, LabelledInstructions, write_batch
from routing_assets.datasets.simulated import simulate
from routing_assets.home import Home
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.training import TrainingConfig
from routing_assets.routers.shelf import JUDGED_BY
from routing_assets.storage.in_force import router_in_force


@pytest.fixture(scope="package", autouse=True)
def few_epochs() -> Iterator[None]:
    """Networks learn in 5 large steps what they otherwise learn in 15 small ones: on these labels the same."""
    training = TrainingConfig(epochs=5, patience=4, learning_rate=3e-3, averaging=0.9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("routing_assets.routers.train.ClassifierConfig", partial(ClassifierConfig, training=training))
        yield


@pytest.fixture(scope="package", autouse=True)
def no_pictures() -> Iterator[None]:
    """What draws the pictures of a page takes seconds to bundle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("routing_assets.audit.page.write.script", lambda _: "")
        yield


@pytest.fixture(scope="package")
def trained_once(made_once: MadeOnce) -> Path:
    """An installation with a router trained on 400 simulated instructions."""

    def train(home: Home) -> None:
        with instance_of(home) as instance:
            run_job(instance, "train_router", ops=SMALL_TRAINING)

    return made_once("trained", train)


@pytest.fixture
def trained(home: Home, trained_once: Path) -> Home:
    """A private copy of the trained installation."""
    copy_installation(trained_once, home)
    return home


@pytest.fixture(scope="package")
def routed_once(trained_once: Path, batch_file: Path, made_once: MadeOnce) -> Path:
    """The trained installation after one batch at 40 % of the dearest model's cost."""

    def route(home: Home) -> None:
        copy_installation(trained_once, home)
        batch_commands.route(home, batch_file, {"budget_fraction": 0.4})

    return made_once("routed", route)


@pytest.fixture
def routed(home: Home, routed_once: Path) -> Home:
    """A private copy of the installation with a routed batch."""
    copy_installation(routed_once, home)
    return home


@pytest.fixture(scope="session")
def batch_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty instructions that the router has not seen."""
    labels = simulate(TWIN, size=60, seed=7)
    path = tmp_path_factory.mktemp("batch") / "weekly.parquet"
    write_batch(BatchInstructions(labels.instruction_id, labels.instruction, labels.task), path)
    return path


@pytest.fixture
def trained_with_costs(trained: Home) -> Home:
    """The trained installation as if its labels had recorded what each call cost."""
    kept = trained.shelf.folder / router_in_force(trained.warehouse)["router_version"] / JUDGED_BY
    labels = with_costs(trained.store.read("labelled_instructions"))
    trained.store.write(labels, "labelled_instructions", None, "test")
    pq.write_table(with_costs(pq.read_table(kept)), kept)
    price_commands.update_prices(trained, f"simulated:{TWIN}")
    return trained


def with_costs(table: pa.Table) -> pa.Table:
    """Labels with lognormal costs, of models of rising price."""
    labels = LabelledInstructions.from_arrow(table)
    random, shape = np.random.default_rng(0), labels.success.shape
    cost = 0.01 * np.arange(1.0, shape[1] + 1) * random.lognormal(0, 0.5, shape)
    return replace(labels, cost=cost).to_arrow()
