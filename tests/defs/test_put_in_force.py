"""What may be put in force: what beats success rates, is not simulated over real, and never by a job's defaults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import copy_installation

from routing_assets.audit.replay import replay
from routing_assets.cli import audit as audit_commands
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import routers as router_commands
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets.simulated import simulate
from routing_assets.foundation.wide_matrix import wide_matrix
from routing_assets.home import Home
from routing_assets.routers import release as champion
from routing_assets.storage.in_force import prices_in_force, router_in_force

LENIENT = {"router": {"ece_limit": 1.0, "ece_tolerance": 1.0}, "success_classifier": {"method": "frozen"}}
SIMULATED = "simulated:llm_uncertainty_bench"
FRACTION = {"budget_fraction": 0.4}


def table(path: Path, size: int, prefix: str = "") -> str:
    """Labels of one's own, of models that are called differently for another prefix."""
    labels = simulate("r1_math", size=400, seed=0).take(slice(0, size))
    models = tuple(prefix + model for model in labels.models)
    nothing = {"cost": None, "input_tokens": None, "output_tokens": None}
    own = replace(labels, models=models, simulated=False, **nothing)  # type: ignore[arg-type]
    pq.write_table(own.to_arrow().replace_schema_metadata(None), path)
    path.with_suffix(".yaml").write_text(
        "models:\n" + "".join(f"  {model}: {{price: {1 + k}}}\n" for k, model in enumerate(models))
    )
    return str(path)


@pytest.fixture
def home(home: Home, tracked_once: Path) -> Home:
    """An installation without a router."""
    copy_installation(tracked_once, home)
    return home


def train(home: Home, labels: str, *, force: bool = False) -> None:
    with instance_of(home) as instance:
        prices = labels if labels.startswith("simulated:") else str(Path(labels).with_suffix(".yaml"))
        ops = {
            "labelled_instructions": {"labels": labels, "size": 150 if labels == SIMULATED else None},
            "model_catalog": {"catalog": prices},
            "router_comparison": {"force": force},
        }
        run_job(instance, "train_router", ops=ops | LENIENT)


def why(home: Home) -> str:
    return str(home.warehouse.fetch("latest_comparison")[0]["why"])


@pytest.mark.slow
def test_a_few_labels_never_replace_a_router_and_without_one_their_rates_decide(
    home: Home, tmp_path: Path, batch_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = table(tmp_path / "few.parquet", 40, prefix="other-")
    train(home, few)
    kept, present = home.warehouse.fetch("latest_comparison")[0]["challenger"], router_in_force(home.warehouse)
    assert "of 40 labelled instructions, 8 unrelated ones were held out: 30 are needed" in why(home)
    assert (present["reason"], present["decision_estimate"]) == ("rates", "rate")
    by_rates = champion.candidate(home.warehouse, present["router_version"])
    assert (by_rates["origin"], by_rates["parent"]) == ("rates", kept)

    capsys.readouterr()
    router_commands.show_comparison(home)
    batch_commands.route(home, batch_file, FRACTION)
    assert capsys.readouterr().out.count("batches are routed by each model's success rate alone, because of 40") == 2
    used = wide_matrix(home.store.read("probability_matrix", "weekly"), "decision")
    assert (used == used[0]).all()
    assert replay(home.warehouse, home.store, home.folders, home.shelf, "weekly").identical
    audit_commands.explain(home, "weekly", home.store.read("routed_batch", "weekly")["instruction_id"][0].as_py())

    train(home, table(tmp_path / "more.parquet", 400, prefix="other-"))
    assert "tells instructions apart" in why(home)
    learnt = router_in_force(home.warehouse)
    assert (learnt["reason"], learnt["decision_estimate"] != "rate") == ("comparison", True)
    train(home, few)
    assert router_in_force(home.warehouse) == learnt
    train(home, table(tmp_path / "few-others.parquet", 40))  # of other models, which take over without a comparison
    assert router_in_force(home.warehouse) == learnt
    assert "of 40 labelled instructions" in why(home)
    train(home, str(tmp_path / "few-others.parquet"), force=True)
    assert router_in_force(home.warehouse)["reason"] == "forced"


def test_a_router_that_learnt_nothing_is_not_put_in_force(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "noise.parquet"
    labels = pq.read_table(table(path, 400)).to_pandas()
    models = [name for name in labels if name.startswith("R1")]
    labels[models] = np.random.default_rng(5).permutation(labels[models].to_numpy())
    labels.to_parquet(path)
    train(home, str(path))
    assert "do not beat each model's success rate beyond noise: they save" in why(home)
    assert router_in_force(home.warehouse)["decision_estimate"] == "rate"


@pytest.mark.slow
def test_the_jobs_defaults_never_replace_what_learnt_from_real_labels(home: Home, tmp_path: Path) -> None:
    with instance_of(home) as instance, pytest.raises(RunFailed, match="no labels are named"):
        run_job(instance, "train_router")
    train(home, table(tmp_path / "own.parquet", 400))
    real, prices = router_in_force(home.warehouse), prices_in_force(home.store)
    assert real["reason"] == "first"

    train(home, SIMULATED)
    assert why(home) == "it is simulated, and what is in force is not"
    assert router_in_force(home.warehouse) == real
    assert prices_in_force(home.store) == prices

    with instance_of(home) as instance:
        for job in ("train_router", "retrain_router"):
            run_job(instance, job, ops=LENIENT)
            assert router_in_force(home.warehouse)["label_hash"] == real["label_hash"]
        run_job(instance, "update_prices")
    assert prices_in_force(home.store)[1] == prices[1]
    newest = home.warehouse.fetch("newest_candidate", {"runs": []})[0]
    assert json.loads(newest["training_config"])["labelled_instructions"]["config"]["labels"].endswith("own.parquet")

    train(home, SIMULATED, force=True)
    assert router_in_force(home.warehouse)["reason"] == "forced"
    champion.rollback(home.releases, home.shelf)
    assert router_in_force(home.warehouse)["label_hash"] == real["label_hash"]
    assert prices_in_force(home.store)[1] == prices[1]
