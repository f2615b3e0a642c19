"""Training makes one version of everything, in DuckDB, MLflow and on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import mlflow
import numpy as np
import pandas as pd
import pytest

from routing_assets.cli.errors import RunFailed
from routing_assets.cli.run_job import QUIET, instance_of, run_job
from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.simulated import simulate
from routing_assets.definitions import defs
from routing_assets.defs.training.labels import split_from_table
from routing_assets.defs.training.router import DecisionSettings, calibration_holds
from routing_assets.home import Home
from routing_assets.prediction.router import Router, RouterConfig, fit_router
from routing_assets.routers import mlflow_registry as tracking
from routing_assets.routers.train import classifier_config
from routing_assets.storage.in_force import router_in_force


def test_the_router_in_force_is_recorded_with_its_calibration(trained: Home) -> None:
    warehouse, router = trained.warehouse, router_in_force(trained.warehouse)
    with warehouse.reader() as connection:
        temperatures = connection.execute(
            "select model, temperature from calibration_temperatures where temperatures_id = ?",
            [router["temperatures_id"]],
        ).fetchall()
        buckets = connection.execute(
            "select model, min(lower), max(upper), sum(count) from calibration_buckets where buckets_id = ? group by 1",
            [router["buckets_id"]],
        ).fetchall()
    models = {entry[0] for entry in temperatures}
    assert models == {"R1", "R1-32B", "R1-14B", "R1-7B", "R1-1.5B"}
    assert all(temperature > 0 for _, temperature in temperatures)
    assert {(model, low, high) for model, low, high, _ in buckets} == {(model, 0.0, 1.0) for model in models}
    assert all(count > 0 for *_, count in buckets)


def test_mlflow_holds_the_model_and_loads_it_without_pickle(trained: Home) -> None:
    client = tracking.connect(trained.registry)
    version = client.get_model_version_by_alias(tracking.REGISTERED_MODEL, tracking.IN_FORCE)
    router = router_in_force(trained.warehouse)
    assert int(version.version) == router["mlflow_model_version"]
    run = client.get_run(version.run_id)
    assert run.info.run_name == "r1_math (simulated) frozen"
    assert run.inputs.dataset_inputs[0].dataset.name == "r1_math (simulated)"
    for tags in (run.data.tags, version.tags):
        assert {name: tags[name] for name in ("label_hash", "router_version")} == {
            name: router[name] for name in ("label_hash", "router_version")
        }
    assert "5 models" in version.description
    assert {"test_log_loss", "test_auc/R1", "train", "validation"} <= set(run.data.metrics)
    files = {path.name for path in trained.registry.artifacts.rglob("*") if path.is_file()}
    assert "classifier.safetensors" in files
    assert not any(name.endswith((".pkl", ".pickle", ".pt", ".bin")) for name in files)

    model = mlflow.pyfunc.load_model(f"models:/{tracking.REGISTERED_MODEL}@{tracking.IN_FORCE}")
    texts = list(simulate("r1_math", size=5, seed=3).instruction)
    served = model.predict(pd.DataFrame({"instruction": texts})).to_numpy()
    ours = Router.load(trained.shelf.folder / router["router_version"]).predict(texts).raw
    np.testing.assert_allclose(served, ours, atol=1e-6)


def test_an_evaluation_of_the_same_labels_is_added_to_the_run(trained: Home, tmp_path: Path) -> None:
    router, picture = router_in_force(trained.warehouse), tmp_path / "curves.png"
    picture.write_bytes(b"picture")
    assert tracking.log_evaluation(trained.registry, "other labels", [picture]) is None
    assert tracking.log_evaluation(trained.registry, router["label_hash"], [picture]) == router["mlflow_run_id"]
    logged = tracking.connect(trained.registry).list_artifacts(router["mlflow_run_id"], "evaluation")
    assert [file.path for file in logged] == ["evaluation/curves.png"]


def test_the_assets_make_the_very_router_that_the_evaluation_fits(trained: Home) -> None:
    store = trained.store
    labels = LabelledInstructions.from_arrow(store.read("labelled_instructions"))
    split = split_from_table(store.read("splits"))
    settings = {"method": "frozen", "encoder": "packaged", "seed": 0}
    fitted = fit_router(
        labels,
        split,
        RouterConfig(classifier=classifier_config(settings)),
        embeddings_cache=trained.shelf.embeddings,
    )
    released = Router.load(trained.shelf.folder / router_in_force(trained.warehouse)["router_version"])
    fresh = simulate("r1_math", size=20, seed=11)
    ours, theirs = (router.predict(fresh.instruction, fresh.task) for router in (released, fitted))
    for step in ("raw", "scaled", "calibrated", "decision"):
        np.testing.assert_allclose(getattr(ours, step), getattr(theirs, step), atol=1e-5)
    assert released.decision == fitted.decision


def test_the_stored_labels_are_those_that_were_recorded(trained: Home) -> None:
    labels = LabelledInstructions.from_arrow(trained.store.read("labelled_instructions"))
    assert labels.simulated
    assert labels.content_hash == router_in_force(trained.warehouse)["label_hash"]


def test_a_router_with_a_poor_calibration_is_refused_and_the_old_one_stays(trained: Home) -> None:
    before = router_in_force(trained.warehouse)
    with instance_of(trained) as instance:
        result = defs.resolve_job_def("train_router").execute_in_process(
            run_config={"ops": {"router": {"config": {"ece_limit": -1.0}}}, "loggers": QUIET},
            asset_selection=[dg.AssetKey(name) for name in ("router", "router_comparison", "router_release")],
            instance=instance,
            raise_on_error=False,
        )
    refused = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [check.check_name for check in refused] == ["calibration_holds"]
    assert not result.success
    assert router_in_force(trained.warehouse) == before


def test_the_limit_of_calibration_error_leaves_room_for_few_rows() -> None:
    def quality(raw: float, decision: float, floor: float) -> list[dict[str, Any]]:
        errors = {"raw": raw, "scaled": decision, "calibrated": decision, "decision": decision}
        return [{"step": step, "ece": error, "ece_floor": floor} for step, error in errors.items()]

    def holds(raw: float, decision: float, floor: float) -> bool:
        return calibration_holds(quality(raw, decision, floor), DecisionSettings()).passed

    assert holds(raw=0.2, decision=0.2, floor=0.13)  # 35 rows show as much by chance
    assert not holds(raw=0.2, decision=0.2, floor=0.01)
    assert not holds(raw=0.03, decision=0.06, floor=0.02)
    assert holds(raw=0.03, decision=0.045, floor=0.02)


def test_bad_labels_fail_the_run_with_their_own_message(home: Home) -> None:
    table = home.root.parent / "labels.jsonl"
    table.write_text(json.dumps({"instruction_id": "a", "instruction": "Hi", "gpt": 1.5}) + "\n")
    with instance_of(home) as instance, pytest.raises(RunFailed, match=r"labels.jsonl, row 1, column 'gpt'"):
        run_job(instance, "train_router", ops={"labelled_instructions": {"labels": str(table)}})


def test_a_model_without_a_price_is_refused_before_anything_is_trained(home: Home) -> None:
    table, catalog = home.root.parent / "labels.csv", home.root.parent / "models.yaml"
    rows = [f"i{i},Say {i},{i % 2},{1 - i % 2}" for i in range(100)]
    table.write_text("\n".join(["instruction_id,instruction,small,large", *rows]))
    catalog.write_text("models:\n  small: {price: 1}\n")
    with instance_of(home) as instance:
        with pytest.raises(RunFailed, match=r"labelled_instructions: .*'large' is not in the catalog"):
            run_job(
                instance,
                "train_router",
                ops={"labelled_instructions": {"labels": str(table)}, "model_catalog": {"catalog": str(catalog)}},
            )
        assert instance.get_latest_materialization_event(dg.AssetKey("success_classifier")) is None
