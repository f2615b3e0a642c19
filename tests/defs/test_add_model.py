"""A model joins the router in force by few labels: nothing is trained, it is routed to at once, and never forgotten."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from helpers import MadeOnce, copy_installation

from routing_assets.audit.replay import replay
from routing_assets.batches.stale import stale_batches
from routing_assets.cli import audit as audit_commands
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import prices as price_commands
from routing_assets.cli import routers as router_commands
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets import LabelledInstructions, append_labels
from routing_assets.datasets.simulated import simulate
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.routers.few_labels import without_added
from routing_assets.routers.release import load_champion
from routing_assets.storage.in_force import candidate, prices_in_force, router_in_force

PRICES = {"R1": 8.0, "R1-32B": 3.0, "R1-14B": 1.0, "R1-7B": 0.6, "R1-1.5B": 0.3}
NEW, BRIGHT = "bright", "R1"
FRACTION = {"budget_fraction": 0.4}


def few_labels(path: Path, rows: slice, **models: str) -> str:
    """Labels of new models, each as able as a known one; the first 400 instructions are those that were trained on."""
    before, since = simulate("r1_math", size=400, seed=0), simulate("r1_math", size=200, seed=9)
    world = append_labels(before, replace(since, instruction_id="since-" + since.instruction_id)).take(rows)
    success = world.success[:, [world.models.index(known) for known in models.values()]]
    nothing = {"cost": None, "input_tokens": None, "output_tokens": None}
    few = replace(world, models=tuple(models), success=success, simulated=False, **nothing)  # type: ignore[arg-type]
    pq.write_table(few.to_arrow().replace_schema_metadata(None), path)
    return str(path)


def catalog(path: Path, **new: float) -> str:
    path.write_text(yaml.safe_dump({"models": {m: {"price": p} for m, p in (PRICES | new).items()}}))
    return str(path)


def priced(home: Home) -> set[str]:
    return set(prices_in_force(home.store)[1])


@pytest.fixture(scope="package")
def extended_once(routed_once: Path, made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installation with a routed batch, to whose router a cheap and able model was added by sixty labels."""
    folder = tmp_path_factory.mktemp("extended")

    def extend(home: Home) -> None:
        copy_installation(routed_once, home)
        few = few_labels(folder / "few.parquet", slice(370, 430), **{NEW: BRIGHT})
        router_commands.add_models(home, [NEW], few, catalog(folder / "models.yaml", **{NEW: 0.5}), force=True)

    return made_once("extended", extend)


@pytest.fixture
def extended(home: Home, extended_once: Path) -> Home:
    copy_installation(extended_once, home)
    return home


def test_it_is_routed_to_at_once_and_the_other_models_stay_as_they_were(
    routed: Home, extended_once: Path, monkeypatch: pytest.MonkeyPatch, batch_file: Path
) -> None:
    before = load_champion(routed.warehouse, routed.shelf)
    shutil.rmtree(routed.root)
    copy_installation(extended_once, routed)
    after, known = load_champion(routed.warehouse, routed.shelf), router_in_force(routed.warehouse)
    assert after.version != before.version
    assert after.router.models == (*before.router.models, NEW)
    fresh = simulate("r1_math", size=40, seed=11)
    old, new = (of.router.predict(fresh.instruction, fresh.task) for of in (before, after))
    for step in ("raw", "scaled", "calibrated", "decision"):
        np.testing.assert_array_equal(getattr(new, step)[:, :-1], getattr(old, step))
    assert (known["reason"], candidate(routed.warehouse, after.version)["parent"]) == ("forced", before.version)
    assert priced(routed) == {*PRICES, NEW}

    first = routed.warehouse.fetch("batch_decisions", {"batch_id": "weekly"})[0]
    assert [
        (batch.batch_id, batch.reasons)
        for batch in stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file)
    ] == [("weekly", ("router", "prices"))]
    batch_commands.route(routed, batch_file, FRACTION)
    chosen = routed.store.read("routed_batch", "weekly")["model"].to_pylist()
    assert chosen.count(NEW) > 20
    assert replay(routed.warehouse, routed.store, routed.folders, routed.shelf, "weekly").identical
    assert replay(
        routed.warehouse, routed.store, routed.folders, routed.shelf, "weekly", first["dagster_run_id"]
    ).identical
    audit_commands.explain(routed, "weekly", routed.store.read("routed_batch", "weekly")["instruction_id"][0].as_py())

    router_commands.rollback(routed, None)
    batch_commands.route(routed, batch_file, FRACTION)
    assert NEW not in routed.store.read("routed_batch", "weekly")["model"].to_pylist()


@pytest.mark.slow
def test_more_labels_and_another_model_later(extended: Home, tmp_path: Path) -> None:
    first = load_champion(extended.warehouse, extended.shelf)
    more = few_labels(tmp_path / "more.parquet", slice(420, 500), **{NEW: BRIGHT, "weak": "R1-1.5B"})
    prices = catalog(tmp_path / "m.yaml", **{NEW: 0.5, "weak": 0.1})
    router_commands.add_models(extended, [NEW, "weak"], more, prices, force=True)
    second = load_champion(extended.warehouse, extended.shelf)
    assert second.router.models == (*first.router.models, "weak")
    labels = {model.name: model.labels for model in second.router.classifier.added}
    assert labels["weak"] == 80
    assert 110 < labels[NEW] <= 130
    fresh = simulate("r1_math", size=200, seed=11)
    means = second.router.predict(fresh.instruction, fresh.task).decision.mean(axis=0)
    assert means[-2] > means[-1] + 0.03
    with pytest.raises(InvalidInput, match=f"the models '{NEW}', 'weak' are not in the catalog"):
        price_commands.update_prices(extended, catalog(tmp_path / "old.yaml"))
    with pytest.raises(InvalidInput, match="prices in force come from a catalog"):
        router_commands.add_models(extended, ["weak"], more, None)


@pytest.mark.slow
def test_training_learns_from_the_added_labels(extended: Home, capsys: pytest.CaptureFixture[str]) -> None:
    config = {
        "labelled_instructions": {"labels": "simulated:r1_math", "size": 400},
        "success_classifier": {"method": "frozen"},
        "router": {"ece_limit": 1.0, "ece_tolerance": 1.0},
    }
    with instance_of(extended) as instance:
        run_job(instance, "retrain_router", ops=config | {"router_comparison": {"force": True}})
    trained = load_champion(extended.warehouse, extended.shelf).router
    assert trained.classifier.trained_models == (*PRICES, NEW)
    labels = LabelledInstructions.from_arrow(extended.store.read("labelled_instructions"))
    assert (~np.isnan(labels.success[:, -1])).sum() == 60
    alone = without_added(labels)
    assert (alone.models, len(alone)) == (tuple(PRICES), 400)
    router_commands.say_what_becomes_of_added_models(extended, "simulated:r1_math")
    assert f"left out, because simulated:r1_math does not name them: {NEW}" in capsys.readouterr().out


@pytest.mark.parametrize(("rows", "learns"), [(slice(370, 400), False), (slice(200, 600), True)])
def test_it_is_put_in_force_if_it_is_predicted_better_than_by_its_rate(
    trained: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: slice, learns: bool
) -> None:
    before = router_in_force(trained.warehouse)
    few = few_labels(tmp_path / "few.parquet", rows, **{NEW: BRIGHT})
    router_commands.add_models(trained, [NEW], few, catalog(tmp_path / "models.yaml", **{NEW: 0.5}))
    assert (router_in_force(trained.warehouse) != before) == learns
    said = "replaces" if learns else "unrelated held-out instructions; 30 are needed to judge the predictions of model"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "rows", "named", "said"),
    [
        ("absent", slice(370, 430), "absent", "there is no label of the model 'absent'; labelled are new"),
        ("new", slice(370, 430), "other", "the model 'new' is not in the catalog"),
        ("new", slice(500, 519), "new", "19 labels to learn the model 'new' from are too few"),
    ],
)
def test_a_model_that_cannot_be_added_is_refused_before_anything_changes(
    trained: Home, tmp_path: Path, model: str, rows: slice, named: str, said: str
) -> None:
    before = [router_in_force(trained.warehouse), priced(trained)]
    few = few_labels(tmp_path / "few.parquet", rows, new=BRIGHT)
    with pytest.raises(InvalidInput, match=said):
        router_commands.add_models(trained, [model], few, catalog(tmp_path / "m.yaml", **{named: 1.0}))
    assert [router_in_force(trained.warehouse), priced(trained)] == before
    assert not trained.store.path("added_labels").exists()


def test_a_trained_model_is_no_new_one_and_test_instructions_teach_nothing(trained: Home, tmp_path: Path) -> None:
    prices = catalog(tmp_path / "m.yaml", new=1.0)
    known = few_labels(tmp_path / "known.parquet", slice(370, 430), **{"R1-7B": BRIGHT})
    with pytest.raises(InvalidInput, match="was trained on 'R1-7B' already"):
        router_commands.add_models(trained, ["R1-7B"], known, prices)
    split = trained.store.read("splits")["split"].to_numpy(zero_copy_only=False)
    few = pq.read_table(few_labels(tmp_path / "few.parquet", slice(0, 400), new=BRIGHT))
    tested = np.flatnonzero(split == "test")
    pq.write_table(few.take(np.concatenate([tested, np.flatnonzero(split == "train")[:8]])), tmp_path / "few.parquet")
    with pytest.raises(InvalidInput, match=rf"8 labels .* too few; {len(tested)} more are of instructions that test"):
        router_commands.add_models(trained, ["new"], str(tmp_path / "few.parquet"), prices)
