"""The sensor asks for runs that send, fetch and record; nothing happens unless the policy says so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import pytest
from batch_apis import BatchApis
from click.testing import CliRunner
from submitted import desk, route

from routing_assets.batches.submissions.advance import advance
from routing_assets.batches.submissions.ledger import append_row, submissions_of
from routing_assets.cli.main import main
from routing_assets.cli.run_job import RunFailed, instance_of, run_job
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.submission.sensor import submission_sensor
from routing_assets.home import Home

POLICY = "grader: exact\nsubmit: {providers: [openai, anthropic, gemini], most_usd: 1}\n"


@pytest.fixture
def apis(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchApis]:
    for sdk in ("openai", "anthropic", "google.genai"):
        pytest.importorskip(sdk, reason="the extra [providers] is not installed")
    with BatchApis(datetime.now(UTC)) as served:
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def installed(home: Home) -> Home:
    home.create().warehouse.create()
    return home


class Sensor:
    """Its ticks, one after the other."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.cursor = instance, None

    def tick(self) -> list[tuple[str | None, str | None]]:
        """Job and batch of the runs that a tick asks for."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources={"home": RoutingHome()})
        result = submission_sensor(context)
        if isinstance(result, dg.SkipReason):
            return []
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return [(request.job_name, request.partition_key) for request in result.run_requests or []]


def test_without_the_setting_nothing_is_sent(installed: Home, apis: BatchApis) -> None:
    route(installed)
    with instance_of(installed) as instance:
        assert Sensor(instance).tick() == []
        with pytest.raises(RunFailed, match=r"nothing is sent to providers\. Add submit to the policy"):
            run_job(instance, "submit_and_collect", batch_id="weekly")
    assert apis.calls == []


def test_a_batch_is_sent_fetched_and_recorded(installed: Home, apis: BatchApis) -> None:
    route(installed)
    installed.policy_file.write_text(POLICY)
    with instance_of(installed) as instance:
        sensor = Sensor(instance)
        assert sensor.tick() == [("submit_and_collect", "weekly")]
        run_job(instance, "submit_and_collect", batch_id="weekly")
        assert sensor.tick() == []
        apis.pass_time(31)
        assert sensor.tick() == [("submit_and_collect", "weekly")]
        result = run_job(instance, "submit_and_collect", batch_id="weekly")
        (made,) = result.asset_materializations_for_node("submissions")
        assert made.metadata["waiting"].value == 0
        assert sensor.tick() == [("record_outcomes", "weekly")]
        assert sensor.tick() == []
        sensor.cursor = None  # as after a tick that died: Dagster knows the run by its key
        assert sensor.tick() == [("record_outcomes", "weekly")]
        run_job(instance, "record_outcomes", batch_id="weekly")
        assert sensor.tick() == []
    outcomes = installed.store.read("batch_outcomes", "weekly")
    assert outcomes["success"].to_pylist() == [1.0] * 9
    assert installed.store.read("submissions", "weekly")["state"].to_pylist() == ["fetched"] * 3


def test_the_command_lists_what_was_sent(installed: Home, apis: BatchApis) -> None:
    assert "nothing was sent to a provider" in CliRunner().invoke(main, ["submissions"]).output
    advance(desk(installed, apis), route(installed))
    table = CliRunner().invoke(main, ["submissions"]).output
    assert [line.split()[6] for line in table.splitlines()[1:]] == ["submitted"] * 3
    rows = json.loads(CliRunner().invoke(main, ["submissions", "weekly", "--json"]).output)
    assert {row["job"] for row in rows} == {
        job.id if job.provider != "gemini" else f"batches/{job.id}" for job in apis.jobs
    }


def thousand(home: Home, apis: BatchApis) -> None:
    """A thousand further jobs under way, of as many batches, as if they had been sent."""
    known = submissions_of(home.warehouse) * 333
    with home.warehouse.transaction() as connection:
        for n, of in enumerate(known):
            job = apis.add(of.provider, '{"submission": ""}' if of.provider == "openai" else "", [("q0", "?")])
            job_id = f"batches/{job.id}" if of.provider == "gemini" else job.id
            append_row(connection, replace(of, submission=f"other {n}", batch_id=f"other{n}", job_id=job_id))


@pytest.mark.slow
def test_a_tick_over_a_thousand_open_jobs_is_short(installed: Home, apis: BatchApis) -> None:
    installed.policy_file.write_text(POLICY)
    at = desk(installed, apis)
    advance(at, route(installed))
    thousand(installed, apis)
    with instance_of(installed) as instance:
        sensor = Sensor(instance)
        sensor.tick()  # imports the SDKs
        apis.calls.clear()
        before, wall = time.process_time(), time.perf_counter()
        assert sensor.tick() == []
        spent, passed = time.process_time() - before, time.perf_counter() - wall
        print(f"\n{spent:.2f} s of processor time, {passed:.2f} s; {len(apis.calls)} calls")
        assert spent < 5
        assert len(apis.calls) <= 30
        apis.pass_time(31)
        assert len(sensor.tick()) == 100
