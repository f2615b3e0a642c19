"""New labels are noticed once, when the file rests; drift is acted on once for each doubling of its evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.cli.run_job import instance_of
from routing_assets.datasets.simulated import simulate
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.training.sensors import act_on_drift, retrain_on_new_labels
from routing_assets.defs.upkeep.failures import ENVIRONMENT, FAILED_FOR
from routing_assets.defs.upkeep.setbacks import Setback
from routing_assets.home import Home
from routing_assets.storage.in_force import router_in_force
from routing_assets.storage.warehouse import Warehouse


def asked_on_drift(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    return act_on_drift(dg.build_sensor_context(instance=instance, resources={"home": RoutingHome()}))


def advise(home: Home, advice: str, judged: int, router: str | None = None) -> None:
    row = {
        "router_version": router or router_in_force(home.warehouse)["router_version"],
        "advice": advice,
        "why": "planted",
        "judged": judged,
        "dagster_run_id": "test",
    }
    home.warehouse.append("drift_reports", pa.Table.from_pylist([row]))


def test_an_advice_is_followed_once_for_each_doubling_of_its_outcomes(trained: Home) -> None:
    with instance_of(trained) as instance:
        assert isinstance(asked_on_drift(instance), dg.SkipReason)
        keys = []
        for judged in (130, 200, 300, 510, 900):
            advise(trained, "recalibrate", judged)
            asked = asked_on_drift(instance)
            assert isinstance(asked, dg.RunRequest)
            keys.append(asked.run_key)
        assert len(set(keys)) == 3
        advise(trained, "retrain", 900)
        asked = asked_on_drift(instance)
        assert isinstance(asked, dg.RunRequest)
        assert (asked.job_name, asked.run_key in keys) == ("retrain_router", False)
        assert asked.run_config["ops"]["success_classifier"]["config"]["method"] == "frozen"


def run_of(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus, cause: str = "") -> str:
    """A run that was made for a request."""
    tags = {**request.tags, FAILED_FOR: cause}
    run = dg.DagsterRun(request.job_name or "retrain_router", run_id=str(uuid4()), status=status, tags=tags)
    instance.add_run(run)
    return run.run_id


def test_a_run_that_the_environment_stopped_is_requested_again_after_a_pause(
    trained: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instance_of(trained) as instance:
        advise(trained, "recalibrate", 130)
        first = asked_on_drift(instance)
        assert isinstance(first, dg.RunRequest)
        stopped = run_of(instance, first, dg.DagsterRunStatus.FAILURE, ENVIRONMENT)
        monkeypatch.setattr(Setback, "may_be_tried_again", lambda *_: False)
        assert isinstance(asked_on_drift(instance), dg.SkipReason)
        monkeypatch.setattr(Setback, "may_be_tried_again", lambda *_: True)
        again = asked_on_drift(instance)
        assert isinstance(again, dg.RunRequest)
        assert again.run_key == f"{first.run_key}!{stopped}"


@pytest.mark.parametrize(
    "retried", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
)
def test_a_run_that_was_restarted_or_failed_for_its_input_is_not_requested_again(
    trained: Home, monkeypatch: pytest.MonkeyPatch, retried: dg.DagsterRunStatus
) -> None:
    monkeypatch.setattr(Setback, "may_be_tried_again", lambda *_: True)
    with instance_of(trained) as instance:
        advise(trained, "retrain", 130)
        first = asked_on_drift(instance)
        assert isinstance(first, dg.RunRequest)
        run_of(instance, first, dg.DagsterRunStatus.FAILURE, ENVIRONMENT)
        run_of(instance, first, retried, "input")
        again = asked_on_drift(instance)
        assert isinstance(again, dg.RunRequest)
        assert again.run_key == first.run_key


def test_few_outcomes_other_routers_and_no_drift_start_nothing(trained: Home) -> None:
    with instance_of(trained) as instance:
        for advice, judged, router in (("recalibrate", 60, None), ("none", 900, None), ("retrain", 900, "another")):
            advise(trained, advice, judged, router)
            asked = asked_on_drift(instance)
            assert isinstance(asked, dg.SkipReason)


@pytest.fixture
def label_file(trained: Home, tmp_path: Path) -> Path:
    """Labels that differ from those that the router in force learnt from."""
    path = tmp_path / "labels.parquet"
    labels = replace(simulate("r1_math", size=50), simulated=False)
    pq.write_table(labels.to_arrow(), path)
    row = {
        "label_hash": router_in_force(trained.warehouse)["label_hash"],
        "name": "t",
        "source": str(path),
        "source_sha256": "what it learnt from",
        "simulated": False,
        "instructions": 50,
        "models": list(labels.models),
        "dagster_run_id": "test",
    }
    trained.warehouse.append("labels", pa.Table.from_pylist([row]))
    return path


def look(instance: dg.DagsterInstance, cursor: str | None) -> tuple[str | None, list[dg.RunRequest]]:
    """One tick of the sensor of new labels: its cursor, and the runs it asks for."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"home": RoutingHome()})
    result = retrain_on_new_labels(context)
    assert isinstance(result, dg.SensorResult)
    return result.cursor, list(result.run_requests or [])


def test_a_changed_label_file_is_learnt_from_once_it_rests(trained: Home, label_file: Path) -> None:
    with instance_of(trained) as instance:
        cursor, keys = None, []
        for change in (False, False, False, True, False):
            if change:
                pq.write_table(pq.read_table(label_file).slice(0, 40), label_file)
            cursor, requests = look(instance, cursor)
            keys.append([request.run_key for request in requests])
    assert [len(key) for key in keys] == [0, 1, 1, 0, 1]
    assert keys[1] == keys[2] != keys[4]


def test_a_training_that_the_environment_stopped_is_begun_again_for_the_same_labels_only(
    trained: Home, label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instance_of(trained) as instance:
        cursor, (first,) = look(instance, look(instance, None)[0])
        stopped = run_of(instance, first, dg.DagsterRunStatus.FAILURE, ENVIRONMENT)
        monkeypatch.setattr(Setback, "may_be_tried_again", lambda *_: False)
        assert look(instance, cursor)[1] == []
        monkeypatch.setattr(Setback, "may_be_tried_again", lambda *_: True)
        cursor, (again,) = look(instance, cursor)
        pq.write_table(pq.read_table(label_file).slice(0, 40), label_file)
        _, (other,) = look(instance, look(instance, cursor)[0])
    assert again.run_key == f"{first.run_key}!{stopped}"
    assert other.run_key is not None
    assert "!" not in other.run_key


def test_labels_that_return_are_learnt_from_again_under_another_router(
    trained: Home, label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instance_of(trained) as instance:
        cursor, (first,) = look(instance, look(instance, None)[0])
        known = trained.warehouse.fetch("labels_in_force")
        monkeypatch.setattr(Warehouse, "fetch", lambda *_: [known[0] | {"router_version": "another"}])
        monkeypatch.setattr("routing_assets.defs.training.sensors.retraining_config", lambda *_: {})
        _, (again,) = look(instance, cursor)
    assert again.run_key != first.run_key


@pytest.mark.parametrize("gone", [True, False])
def test_labels_that_are_simulated_or_gone_start_nothing(trained: Home, gone: bool) -> None:
    if gone:
        with trained.warehouse.transaction() as connection:
            connection.execute("update labels set source = '/nowhere/labels.csv'")
    with instance_of(trained) as instance:
        context = dg.build_sensor_context(instance=instance, resources={"home": RoutingHome()})
        assert isinstance(retrain_on_new_labels(context), dg.SkipReason)
