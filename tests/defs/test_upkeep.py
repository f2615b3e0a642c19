"""New labels are noticed once, when the file rests; drift is acted on once for each doubling of its evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from routing_assets.datasets.simulated import simulate
from routing_assets.defs.failures import ENVIRONMENT, FAILED_FOR
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.setbacks import Setback
from routing_assets.defs.upkeep import act_on_drift, retrain_on_new_labels
from routing_assets.ledger import router_in_force
from routing_assets.runs import instance_of
from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse


def asked_on_drift(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    return act_on_drift(dg.build_sensor_context(instance=instance, resources={"home": RoutingHome()}))


def advise(home: Home, advice: str, judged: int, router: str | None = None) -> None:
    row = {
        "router_version": router or router_in_force(home)["router_version"],
        "advice": advice,
        "why": "planted",
        "judged": judged,
        "dagster_run_id": "test",
    }
    Warehouse(home.warehouse).append("drift_reports", pa.Table.from_pylist([row]))


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


def test_what_the_environment_stopped_is_asked_for_again_after_a_pause_until_it_succeeds(
    trained: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, cause: str) -> str:
        run = dg.DagsterRun("recalibrate_router", run_id=str(uuid4()), status=status, tags={FAILED_FOR: cause})
        instance.add_run(run)
        return run.run_id

    with instance_of(trained) as instance:
        advise(trained, "recalibrate", 130)
        first = asked_on_drift(instance)
        stopped = ended(instance, dg.DagsterRunStatus.FAILURE, ENVIRONMENT)
        with monkeypatch.context() as patch:
            patch.setattr(Setback, "may_be_tried_again", lambda *_: False)
            assert isinstance(asked_on_drift(instance), dg.SkipReason)
            patch.setattr(Setback, "may_be_tried_again", lambda *_: True)
            again = asked_on_drift(instance)
        assert isinstance(first, dg.RunRequest)
        assert isinstance(again, dg.RunRequest)
        assert again.run_key == f"{first.run_key}!{stopped}"
        ended(instance, dg.DagsterRunStatus.SUCCESS, "")
        made_up_for = asked_on_drift(instance)
        assert isinstance(made_up_for, dg.RunRequest)
        assert made_up_for.run_key == first.run_key


def test_few_outcomes_other_routers_and_no_drift_start_nothing(trained: Home) -> None:
    with instance_of(trained) as instance:
        for advice, judged, router in (("recalibrate", 60, None), ("none", 900, None), ("retrain", 900, "another")):
            advise(trained, advice, judged, router)
            asked = asked_on_drift(instance)
            assert isinstance(asked, dg.SkipReason)


def test_a_changed_label_file_is_learnt_from_once_it_rests(trained: Home, tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    labels = replace(simulate("r1_math", size=50), simulated=False)
    pq.write_table(labels.to_arrow(), path)
    router = router_in_force(trained)
    row = {
        "label_hash": router["label_hash"],
        "name": "t",
        "source": str(path),
        "source_sha256": "what it learnt from",
        "simulated": False,
        "instructions": 50,
        "models": list(labels.models),
        "dagster_run_id": "test",
    }
    Warehouse(trained.warehouse).append("labels", pa.Table.from_pylist([row]))
    with instance_of(trained) as instance:
        cursor, keys = None, []
        for change in (False, False, False, True, False):
            if change:
                pq.write_table(labels.take(slice(0, 40)).to_arrow(), path)
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"home": RoutingHome()})
            result = retrain_on_new_labels(context)
            assert isinstance(result, dg.SensorResult)
            cursor = result.cursor
            keys.append([request.run_key for request in result.run_requests or []])
    assert [len(key) for key in keys] == [0, 1, 1, 0, 1]
    assert keys[1] == keys[2] != keys[4]


@pytest.mark.parametrize("gone", [True, False])
def test_labels_that_are_simulated_or_gone_start_nothing(trained: Home, gone: bool) -> None:
    if gone:
        with Warehouse(trained.warehouse).transaction() as connection:
            connection.execute("update labels set source = '/nowhere/labels.csv'")
    with instance_of(trained) as instance:
        context = dg.build_sensor_context(instance=instance, resources={"home": RoutingHome()})
        assert isinstance(retrain_on_new_labels(context), dg.SkipReason)
