"""A small trained installation, made once, and a private copy of it for each test that writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from routing_assets.cli import batches as batch_commands
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets import BatchInstructions, write_batch
from routing_assets.datasets.simulated import simulate
from routing_assets.foundation.home import Home

TWIN = "r1_math"


MadeOnce = Callable[[str, Callable[[Home], None]], Path]


@pytest.fixture(scope="session")
def trained_once(made_once: MadeOnce) -> Path:
    """An installation with a router trained on 400 simulated instructions."""

    def train(home: Home) -> None:
        with instance_of(home) as instance:
            run_job(
                instance,
                "train_router",
                ops={
                    "labelled_instructions": {"labels": f"simulated:{TWIN}", "size": 400},
                    "model_catalog": {"catalog": f"simulated:{TWIN}"},
                    "success_classifier": {"method": "frozen"},
                    "router": {"ece_limit": 1.0, "ece_tolerance": 1.0},
                },
            )

    return made_once("trained", train)


@pytest.fixture
def trained(home: Home, trained_once: Path) -> Home:
    """A private copy of the trained installation."""
    shutil.copytree(trained_once, home.root)
    return home


@pytest.fixture(scope="session")
def routed_once(trained_once: Path, batch_file: Path, made_once: MadeOnce) -> Path:
    """The trained installation after one batch at 40 % of the dearest model's cost."""

    def route(home: Home) -> None:
        shutil.copytree(trained_once, home.root)
        batch_commands.route(home, batch_file, {"budget_fraction": 0.4})

    return made_once("routed", route)


@pytest.fixture
def routed(home: Home, routed_once: Path) -> Home:
    """A private copy of the installation with a routed batch."""
    shutil.copytree(routed_once, home.root)
    return home


@pytest.fixture(scope="session")
def batch_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty instructions that the router has not seen."""
    labels = simulate(TWIN, size=60, seed=7)
    path = tmp_path_factory.mktemp("batch") / "weekly.parquet"
    write_batch(BatchInstructions(labels.instruction_id, labels.instruction, labels.task), path)
    return path
