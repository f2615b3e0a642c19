"""Prices come into force with the router they came with, or by themselves, and never because a run was tried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from helpers import MadeOnce, copy_installation

from routing_assets.cli import batches as batch_commands
from routing_assets.cli import prices as price_commands
from routing_assets.cli import routers as router_commands
from routing_assets.cli.demo import run_demo
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets.simulated import simulate
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.routers.release import rollback
from routing_assets.storage.in_force import prices_in_force, router_in_force

MODELS = ("R1", "R1-32B", "R1-14B", "R1-7B", "R1-1.5B")
LENIENT = {"router": {"ece_limit": 1.0, "ece_tolerance": 1.0}, "success_classifier": {"method": "frozen"}}


def table(path: Path, models: tuple[str, ...] = MODELS, *, spoilt: bool = False) -> str:
    """The labels that the installation was trained on, as a table of one's own; ``spoilt`` ones teach nothing."""
    labels = simulate("r1_math", size=400, seed=0)
    success = np.random.default_rng(0).permutation(labels.success) if spoilt else labels.success
    own = replace(labels, models=models, success=success, simulated=False)
    pq.write_table(own.to_arrow().replace_schema_metadata(None), path)
    return str(path)


def catalog(path: Path, models: tuple[str, ...] = MODELS, factor: float = 1.0) -> str:
    path.write_text(yaml.safe_dump({"models": {m: {"price": factor * (5 - k)} for k, m in enumerate(models)}}))
    return str(path)


def train(home: Home, labels: str, prices: str) -> None:
    with instance_of(home) as instance:
        ops = {"labelled_instructions": {"labels": labels}, "model_catalog": {"catalog": prices}}
        run_job(instance, "train_router", ops=ops | LENIENT)


RENAMED = ("gpt@mini", *MODELS[1:-1], "o3 (high)")


@pytest.fixture(scope="package")
def renamed_once(trained_once: Path, made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained installation after a training on one's own labels, of models of other names."""
    folder = tmp_path_factory.mktemp("renamed")

    def train_again(home: Home) -> None:
        copy_installation(trained_once, home)
        train(home, table(folder / "own.parquet", RENAMED), catalog(folder / "own.yaml", RENAMED))

    return made_once("renamed", train_again)


@pytest.fixture
def renamed(home: Home, renamed_once: Path) -> Home:
    """A private copy of it."""
    copy_installation(renamed_once, home)
    return home


def test_a_router_that_does_not_take_over_leaves_the_prices_as_they_are(
    trained: Home, batch_file: Path, tmp_path: Path
) -> None:
    before, router = prices_in_force(trained.store), router_in_force(trained.warehouse)
    limits = trained.store.read("model_catalog")
    train(trained, table(tmp_path / "spoilt.parquet", spoilt=True), catalog(tmp_path / "dear.yaml", factor=20))
    assert router_in_force(trained.warehouse) == router
    assert prices_in_force(trained.store) == before
    assert trained.store.read("model_catalog").equals(limits)
    batch_commands.route(trained, batch_file, {"budget_fraction": 0.4})


def test_the_very_same_router_comes_with_new_prices(renamed: Home, tmp_path: Path) -> None:
    router, before = router_in_force(renamed.warehouse), prices_in_force(renamed.store)
    train(renamed, table(tmp_path / "own.parquet", RENAMED), catalog(tmp_path / "dear.yaml", RENAMED, factor=2))
    assert router_in_force(renamed.warehouse) == router
    assert prices_in_force(renamed.store) != before


def test_a_roll_back_brings_the_prices_that_a_router_came_with(
    renamed: Home, trained_once: Path, batch_file: Path
) -> None:
    """Renamed models are other models, though the weights of the two classifiers are the same."""
    assert set(prices_in_force(renamed.store)[1]) == set(RENAMED)
    batch_commands.route(renamed, batch_file, {"budget_fraction": 0.4})
    rollback(renamed.releases, renamed.shelf)
    assert prices_in_force(renamed.store) == prices_in_force(Home(trained_once).store)
    batch_commands.route(renamed, batch_file, {"budget_fraction": 0.4})


def test_prices_that_the_router_in_force_cannot_serve_at_change_nothing(trained: Home) -> None:
    before, limits = prices_in_force(trained.store), trained.store.read("model_catalog")
    with instance_of(trained) as instance, pytest.raises(RunFailed):
        run_job(instance, "update_prices", ops={"model_catalog": {"catalog": "simulated:llm_uncertainty_bench"}})
    assert prices_in_force(trained.store) == before
    assert trained.store.read("model_catalog").equals(limits)


def test_a_new_catalog_is_in_force_at_once(trained: Home, tmp_path: Path) -> None:
    before = prices_in_force(trained.store)
    price_commands.update_prices(trained, catalog(tmp_path / "dear.yaml", factor=3))
    assert prices_in_force(trained.store)[0] != before[0]


def test_a_published_price_list_is_put_in_force_under_names_of_ones_own(trained: Home, tmp_path: Path) -> None:
    listed = {
        f"deepseek/{model}": {"input_cost_per_token": 1e-6, "output_cost_per_token": 4e-6, "mode": "chat"}
        for model in MODELS
    }
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(listed | {"embedder": {"input_cost_per_token": 1e-8, "mode": "embedding"}}))
    with pytest.raises(InvalidInput, match="'embedder' of LiteLLM's map of prices cannot be priced"):
        price_commands.update_prices(trained, str(path))
    named = [f"{model}=deepseek/{model}" for model in MODELS]
    price_commands.update_prices(trained, str(path), catalog_models=[",".join(named[:2]), *named[2:]])
    in_force = trained.store.read("model_catalog").to_pylist()
    assert [(row["name"], row["input_price"], row["api_name"]) for row in in_force] == [
        (model, 1.0, f"deepseek/{model}") for model in MODELS
    ]


def test_a_demo_never_replaces_a_router_that_learnt_from_real_labels(renamed: Home) -> None:
    with pytest.raises(InvalidInput, match=r"which learnt from own, would be replaced.*ROUTING_HOME="):
        run_demo(renamed, size=300, seed=0)


def test_simulated_prices_never_replace_real_ones_unless_forced(trained: Home, tmp_path: Path) -> None:
    price_commands.update_prices(trained, catalog(tmp_path / "own.yaml"))
    real = prices_in_force(trained.store)
    with pytest.raises(RunFailed, match="simulated prices would replace real ones"):
        price_commands.update_prices(trained, "simulated:r1_math")
    assert prices_in_force(trained.store) == real
    price_commands.update_prices(trained, "simulated:r1_math", force=True)
    assert prices_in_force(trained.store) != real


def test_prices_per_token_are_refused_by_every_way_in_unless_confirmed(trained: Home, tmp_path: Path) -> None:
    before, per_token = prices_in_force(trained.store), catalog(tmp_path / "per_token.yaml", factor=1e-6)
    said = "move by a factor of 200 or more: 'R1' from .* to 5e-06, as if per token"
    with pytest.raises(RunFailed, match=said):
        price_commands.update_prices(trained, per_token)
    with pytest.raises(RunFailed, match=said):
        router_commands.train(trained, "simulated:r1_math", per_token, "auto", method="frozen", seed=0, size=300)
    with pytest.raises(RunFailed, match=said):
        router_commands.evaluate(
            trained, "simulated:r1_math", per_token, "auto", seeds=1, size=300, output=tmp_path / "evaluation"
        )
    assert prices_in_force(trained.store) == before
    price_commands.update_prices(trained, per_token, confirm_prices=True)
    assert prices_in_force(trained.store) != before
