"""The inbox sensor and the re-routing schedule ask for the right runs, once each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from routing_assets.batches.known import decision_in_force
from routing_assets.batches.money import standing
from routing_assets.batches.receive import Admission, receive
from routing_assets.batches.stale import stale_batches
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import ends
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.run_job import instance_of
from routing_assets.defs.batches.inbox_sensor import inbox_sensor
from routing_assets.defs.batches.reroute_schedule import reroute_stale_batches
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.upkeep.failures import report_failures
from routing_assets.home import Home


class Inbox:
    """Ticks of the sensor, each with the cursor that the tick before left."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.cursor = instance, None

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources={"home": RoutingHome()})
        result = inbox_sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for added in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions("batches", list(added.partition_keys))
        return list(result.run_requests or [])


def scheduled(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    context = dg.build_schedule_context(instance=instance, resources={"home": RoutingHome()})
    requests = reroute_stale_batches(context)
    return [] if isinstance(requests, dg.SkipReason) else requests


def test_a_file_is_claimed_once_it_rests_and_only_once(home: Home, batch_file: Path) -> None:
    with instance_of(home) as instance:
        inbox = Inbox(instance)
        shutil.copy(batch_file, home.folders.inbox / "weekly.parquet")
        assert inbox.tick() == []
        requests = inbox.tick()
        assert [request.partition_key for request in requests] == ["weekly"]
        assert instance.has_dynamic_partition("batches", "weekly")
        assert inbox.tick() == []
        assert not (home.folders.inbox / "weekly.parquet").exists()


def test_an_urgent_file_waits_for_no_other_and_its_run_goes_first(home: Home, batch_file: Path) -> None:
    with instance_of(home) as instance:
        home.policy_file.write_text("coalesce: {below: 1000, wait_minutes: 60}\n")
        inbox = Inbox(instance)
        for name in ("calm.parquet", "calm2.parquet", "night.urgent.parquet"):
            shutil.copy(batch_file, home.folders.inbox / name)
        inbox.tick()
        (request,) = inbox.tick()
    assert request.partition_key == "night.urgent"
    assert request.tags["dagster/priority"] == "10"
    assert request.run_config["resources"]["routing_request"]["config"] == {"urgent": True}
    assert sorted(path.name for path in home.folders.inbox.glob("*.parquet")) == ["calm.parquet", "calm2.parquet"]


def test_several_files_are_claimed_in_one_tick_and_bad_ones_do_not_stop_good_ones(home: Home, batch_file: Path) -> None:
    with instance_of(home) as instance:
        home.policy_file.write_text("duplicates: route\n")
        inbox = Inbox(instance)
        for name in ("a.parquet", "b.parquet"):
            shutil.copy(batch_file, home.folders.inbox / name)
        (home.folders.inbox / "bad.csv").write_text("instruction_id,instruction\n1,\n")
        inbox.tick()
        assert sorted(str(request.partition_key) for request in inbox.tick()) == ["a", "b"]
        assert len(list(home.folders.rejected.glob("*.reason.txt"))) == 1


def test_of_two_equal_files_one_is_held_until_the_policy_routes_duplicates(home: Home, batch_file: Path) -> None:
    with instance_of(home) as instance:
        inbox = Inbox(instance)
        for name in ("a.parquet", "b.parquet"):
            shutil.copy(batch_file, home.folders.inbox / name)
        inbox.tick()
        (first,) = inbox.tick()
        assert {first.partition_key} | {path.stem for path in home.folders.held.glob("*.parquet")} == {"a", "b"}
        home.policy_file.write_text("duplicates: route\n")
        (second,) = [*inbox.tick(), *inbox.tick()]
        assert {first.partition_key, second.partition_key} == {"a", "b"}


def test_a_changed_file_is_routed_again_and_an_unchanged_one_has_the_key_of_its_old_run(
    home: Home, batch_file: Path
) -> None:
    with instance_of(home) as instance:
        inbox = Inbox(instance)
        keys = []
        for content in (b"one", b"one", b"two"):
            file = home.folders.inbox / "weekly.csv"
            file.write_bytes(b"instruction_id,instruction\n1," + content + b"\n")
            inbox.tick()
            keys += [request.run_key for request in inbox.tick()]
        assert keys[0] == keys[1] != keys[2]


def test_small_files_wait_for_each_other_where_the_policy_says_so(home: Home) -> None:
    with instance_of(home) as instance:
        home.policy_file.write_text("coalesce: {below: 3, wait_minutes: 60}\n")
        inbox = Inbox(instance)
        (home.folders.inbox / "a.csv").write_text("instruction_id,instruction\n1,one\n")
        inbox.tick()
        assert inbox.tick() == []
        (home.folders.inbox / "b.csv").write_text("instruction_id,instruction\n1,two\n2,three\n")
        inbox.tick()
        (request,) = inbox.tick()
        assert str(request.partition_key).startswith("joined-")
        assert instance.has_dynamic_partition("batches", str(request.partition_key))


def test_a_file_for_a_dispatched_batch_is_rejected(routed: Home, batch_file: Path) -> None:
    ends.dispatch(routed, "weekly")
    with instance_of(routed) as instance:
        inbox = Inbox(instance)
        (routed.folders.inbox / "weekly.csv").write_text("instruction_id,instruction\n1,new\n")
        inbox.tick()
        assert inbox.tick() == []
    assert "dispatched" in next(routed.folders.rejected.glob("*.reason.txt")).read_text()


def test_the_schedule_leaves_routed_batches_alone(routed: Home) -> None:
    with instance_of(routed) as instance:
        assert scheduled(instance) == []


def test_a_batch_whose_run_never_came_is_picked_up_by_the_schedule(trained: Home, batch_file: Path) -> None:
    with instance_of(trained) as instance:
        inbox = Inbox(instance)
        shutil.copy(batch_file, trained.folders.inbox / "weekly.parquet")
        inbox.tick()
        inbox.tick()
        requests = scheduled(instance)
        assert [request.partition_key for request in requests] == ["weekly"]
        assert requests[0].run_key == scheduled(instance)[0].run_key


def start(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
    """What the daemon makes of a request."""
    tags = {**request.tags, "dagster/run_key": str(request.run_key), "dagster/partition": str(request.partition_key)}
    instance.add_run(dg.DagsterRun("route_batch", run_id=str(uuid4()), status=status, tags=tags))


def test_many_stale_batches_are_asked_for_in_turn_urgent_ones_first(
    trained: Home, batch_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing_assets.defs.batches.reroute_schedule.LONGEST_QUEUE", 2)
    for name in "abcde":
        receive(
            trained.warehouse,
            trained.folders,
            batch_file,
            batch_id=name,
            request={"urgent": True} if name == "d" else {},
            admission=Admission(may_repeat=True),
        )
    with instance_of(trained) as instance:
        first = scheduled(instance)
        assert [request.partition_key for request in first] == ["d", "a"]
        assert first[0].tags["dagster/priority"] == "10"
        start(instance, first[0], dg.DagsterRunStatus.FAILURE)
        start(instance, first[1], dg.DagsterRunStatus.STARTING)
        (second,) = scheduled(instance)
        assert second.partition_key == "b"
        start(instance, second, dg.DagsterRunStatus.STARTED)
        assert scheduled(instance) == []


def test_a_run_that_was_created_but_never_started_is_asked_for_again(trained: Home, batch_file: Path) -> None:
    receive(trained.warehouse, trained.folders, batch_file)
    with instance_of(trained) as instance:
        (request,) = scheduled(instance)
        start(instance, request, dg.DagsterRunStatus.NOT_STARTED)
        assert [again.run_key for again in scheduled(instance)] == [request.run_key]


def test_all_stale_batches_are_routed_in_one_process_and_a_failing_one_stops_none(
    trained: Home, batch_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, request in (("a", {"budget_usd": 1e-9}), ("b", {}), ("c", {"policy": "ndch"})):
        receive(
            trained.warehouse,
            trained.folders,
            batch_file,
            batch_id=name,
            request=request,
            admission=Admission(may_repeat=True),
        )
    assert not batch_commands.reroute(trained)
    said = capsys.readouterr()
    assert "cheapest feasible budget" in said.err
    assert said.out.endswith("2 batches routed, 1 failed\n")
    assert [
        batch.batch_id
        for batch in stale_batches(trained.warehouse, trained.store, trained.folders, trained.policy_file)
    ] == ["a"]
    assert decision_in_force(trained.warehouse, "c")["policy"] == "ndch"
    runs = {decision_in_force(trained.warehouse, name)["dagster_run_id"] for name in "bc"}
    assert len(runs) == 2


def test_the_schedule_keeps_the_settings_that_a_batch_was_sent_with(routed: Home) -> None:
    routed.policy_file.write_text("policy: ndch\n")
    with instance_of(routed) as instance:
        request = scheduled(instance)[0]
    assert request.run_config["resources"]["routing_request"]["config"] == {"budget_fraction": 0.4}
    assert request.tags["routing/stale"] == "policy"


@pytest.mark.parametrize("text", ["policy: best", "polcy: mip", "- mip", "budget_fraction: -1"])
def test_a_wrong_policy_file_is_an_error_that_names_it(routed: Home, text: str) -> None:
    routed.policy_file.write_text(text)
    with instance_of(routed) as instance, pytest.raises(ValueError, match=r"policy|mapping|budget"):
        scheduled(instance)


def test_a_failed_run_leaves_its_reason_in_the_file_of_failures(trained: Home, batch_file: Path) -> None:
    with instance_of(trained) as instance:
        with pytest.raises(RunFailed):
            batch_commands.route(trained, batch_file, {"budget_usd": 1e-9})
        run = instance.get_runs(dg.RunsFilter(job_name="route_batch"))[0]
        events = [log.dagster_event for log in instance.all_logs(run.run_id) if log.dagster_event]
        event = next(event for event in events if event.event_type_value == "PIPELINE_FAILURE")
        context = dg.build_run_status_sensor_context("report_failures", event, instance, run).for_run_failure()
        report_failures(context, home=RoutingHome(root=str(trained.root)))
    line = json.loads(trained.failures.read_text())
    assert (line["job"], line["batch_id"]) == ("route_batch", "weekly")
    assert "cheapest feasible budget" in line["reason"]


def test_a_failed_run_leaves_the_money_of_the_month_to_others(
    trained: Home, batch_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("after the budget was committed")

    trained.policy_file.write_text("period: {budget_usd: 5.0}")
    with monkeypatch.context() as patch:
        patch.setattr("routing_assets.defs.batches.routed.record_changes", broken)
        with pytest.raises(RunFailed, match="after the budget"):
            batch_commands.route(trained, batch_file, {})
    batch_commands.route(trained, shutil.copy(batch_file, tmp_path / "other.parquet"), {}, duplicate=True)
    with trained.warehouse.reader() as connection:
        usd = {name: past.usd for name, past in standing(connection)}
    assert usd["weekly"] == 0.0
    assert usd["other"] > 0
