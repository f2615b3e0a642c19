"""A batch that its money cannot pay for: refused before it is scored, once, and no fault of any other batch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from routing_assets.batches.stale import stale_batches
from routing_assets.cli import batches as batch_commands
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.run_job import instance_of
from routing_assets.defs.batches.reroute_schedule import reroute_stale_batches
from routing_assets.defs.home import RoutingHome
from routing_assets.home import Home

CHECKED = {"routed_batch": "spend_is_within_budget", "probability_matrix": "probabilities_are_valid"}


@pytest.fixture
def unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where anything is scored."""
    monkeypatch.setattr("routing_assets.defs.batches.scores.score_part", lambda *_: pytest.fail("it was scored"))


@pytest.mark.usefixtures("unscored")
def test_a_budget_that_costs_alone_rule_out_is_refused_before_anything_is_scored(
    trained: Home, batch_file: Path
) -> None:
    with pytest.raises(RunFailed, match=r"cost_matrix: .*cheapest feasible budget is .* withdraw weekly"):
        batch_commands.route(trained, batch_file, {"budget_usd": 1e-9})
    with instance_of(trained) as instance:
        events = instance.fetch_observations(dg.AssetRecordsFilter(dg.AssetKey("routed_batch"), ["weekly"]), limit=1)
        (seen,) = [record.asset_observation for record in events.records]
        assert "cheapest feasible budget is" in str(seen.metadata["not_routed"].value)


@pytest.mark.usefixtures("unscored")
def test_an_exhausted_month_is_found_before_anything_is_scored(trained: Home, batch_file: Path) -> None:
    trained.policy_file.write_text("period: {budget_usd: 1.0e-9}\n")
    with pytest.raises(RunFailed, match=r"cost_matrix: the cheapest assignment of this batch costs"):
        batch_commands.route(trained, batch_file, {})


def test_a_refused_batch_is_tried_again_only_once_something_changed(
    trained: Home, batch_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained.create()
    trained.policy_file.write_text("budget_usd: 1.0e-9\n")
    with pytest.raises(RunFailed):
        batch_commands.route(trained, batch_file, {})
    with monkeypatch.context() as patch:
        patch.setattr(batch_commands, "run_job", lambda *_, **__: pytest.fail("it was tried again"))
        assert batch_commands.reroute(trained)
    said = capsys.readouterr().out
    assert "batch weekly waits, because nothing changed since it was refused" in said
    assert "cheapest feasible budget is" in said
    assert "routing-assets withdraw weekly" in said
    assert "0 batches routed, 0 failed, 1 wait" in said
    with instance_of(trained) as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime.now(UTC))
        assert isinstance(reroute_stale_batches(context, home=RoutingHome()), dg.SkipReason)
    trained.policy_file.write_text("budget_fraction: 0.5\n")
    assert [
        batch.refused for batch in stale_batches(trained.warehouse, trained.store, trained.folders, trained.policy_file)
    ] == [None]
    assert batch_commands.reroute(trained)
    assert "1 batches routed, 0 failed\n" in capsys.readouterr().out


def test_the_checks_of_one_batch_say_nothing_of_another(routed: Home, batch_file: Path) -> None:
    with pytest.raises(RunFailed):
        batch_commands.route(routed, batch_file, {"budget_usd": 1e-9}, batch_id="poor", duplicate=True)
    with instance_of(routed) as instance:
        for asset, name in CHECKED.items():
            key = dg.AssetCheckKey(dg.AssetKey(asset), name)
            (good,) = of_partition(instance, key, "weekly")
            assert good.status.value == "SUCCEEDED"
            assert good.evaluation.partition == "weekly"
            assert all(record.status.value == "PLANNED" for record in of_partition(instance, key, "poor"))


def of_partition(instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: str) -> list:
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=20)
    return [record for record in records if record.partition == partition]
