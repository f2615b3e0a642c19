"""A batch that did not go out is taken back: it is routed no more, its money is free, and the ledger remembers it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from routing_assets.audit.daily_report import day_report
from routing_assets.batches import ends as withdrawal
from routing_assets.batches.known import decision_in_force, end_of_batch
from routing_assets.batches.money import month_state, period_budget, standing
from routing_assets.batches.outcomes import receive_outcomes
from routing_assets.batches.receive import receive
from routing_assets.batches.retention import folders_of
from routing_assets.batches.stale import stale_batches
from routing_assets.cli import audit as audit_commands
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import ends
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.defs.upkeep.retention import retire_with_partitions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home


def committed(home: Home) -> float:
    """USD that the batches of this month stand committed to."""
    with home.warehouse.reader() as connection:
        past = [batch for _, batch in standing(connection)]
    return float(month_state(period_budget({"budget_usd": 1.0}), past, datetime.now(UTC)).committed())


def test_a_withdrawn_batch_leaves_the_outbox_and_is_routed_no_more(routed: Home, batch_file: Path) -> None:
    routed.policy_file.write_text("policy: ndch\n")  # which would route a batch without settings of its own again
    batch_commands.route(routed, batch_file, {}, batch_id="mistake", duplicate=True)
    ends.withdraw(routed, "mistake")
    assert end_of_batch(routed.warehouse, "mistake") == "withdrawn"
    assert not (routed.folders.outbox / "mistake").exists()
    assert (routed.folders.outbox / "weekly").exists()
    routed.policy_file.write_text("policy: mip\n")
    assert "mistake" not in [
        batch.batch_id for batch in stale_batches(routed.warehouse, routed.store, routed.folders, routed.policy_file)
    ]
    for refused in (
        lambda: batch_commands.route(routed, batch_file, {}, batch_id="mistake", duplicate=True),
        lambda: ends.withdraw(routed, "mistake"),
        lambda: ends.dispatch(routed, "mistake"),
        lambda: receive_outcomes(routed.warehouse, routed.store, routed.folders, batch_file, "mistake"),
        lambda: audit_commands.explain(routed, "mistake", "0"),
    ):
        with pytest.raises(InvalidInput, match="'mistake' is withdrawn"):
            refused()


def test_its_money_is_free_and_it_counts_as_no_spend(trained: Home, batch_file: Path) -> None:
    trained.policy_file.write_text("period: {budget_usd: 0.5}\n")
    batch_commands.route(trained, batch_file, {}, batch_id="kept")
    alone, spend = committed(trained), trained.warehouse.fetch("spend_by_model")
    batch_commands.route(trained, batch_file, {}, batch_id="mistake", duplicate=True)
    assert committed(trained) > alone > 0
    ends.withdraw(trained, "mistake")
    assert committed(trained) == pytest.approx(alone)
    assert trained.warehouse.fetch("spend_by_model") == spend


def test_its_decisions_stay_in_the_ledger_and_can_be_made_again(
    routed: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    ends.withdraw(routed, "weekly")
    assert audit_commands.audit(routed, "weekly", None)
    said = capsys.readouterr().out
    assert "ledger: 1 decisions, chain and files as recorded" in said
    assert "batch weekly is withdrawn" in said
    assert "identical, byte for byte" in said
    with pytest.raises(InvalidInput, match="is withdrawn"):
        decision_in_force(routed.warehouse, "weekly")


def test_a_batch_that_was_sent_out_is_not_withdrawn(routed: Home, tmp_path: Path) -> None:
    decided = routed.store.read("routed_batch", "weekly").to_pylist()[0]
    outcomes = tmp_path / "outcomes.csv"
    outcomes.write_text(f"instruction_id,model,success\n{decided['instruction_id']},{decided['model']},1\n")
    receive_outcomes(routed.warehouse, routed.store, routed.folders, outcomes, "weekly")
    with pytest.raises(InvalidInput, match="batch 'weekly' has outcomes"):
        ends.withdraw(routed, "weekly")
    ends.dispatch(routed, "weekly")
    with pytest.raises(InvalidInput, match="'weekly' is dispatched and frozen"):
        ends.withdraw(routed, "weekly")
    assert (routed.folders.outbox / "weekly" / "manifest.json").exists()


def test_a_run_under_way_hands_nothing_over(trained: Home, batch_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def withdrawn(*_: object) -> dict[str, object]:
        withdrawal.withdraw_batch(trained.warehouse, trained.folders, "weekly")
        return {}

    trained.policy_file.write_text("period: {budget_usd: 0.5}\n")
    monkeypatch.setattr("routing_assets.defs.batches.routed.record_changes", withdrawn)
    with pytest.raises(RunFailed, match="'weekly' is withdrawn and frozen"):
        batch_commands.route(trained, batch_file, {})
    assert not (trained.folders.outbox / "weekly").exists()
    assert committed(trained) == 0
    assert trained.warehouse.fetch("ledger_entries") == []


def test_a_run_that_waited_is_refused_before_it_scores_anything(trained: Home, batch_file: Path) -> None:
    receive(trained.warehouse, trained.folders, batch_file)
    ends.withdraw(trained, "weekly")
    with instance_of(trained) as instance, pytest.raises(RunFailed, match="'weekly' is withdrawn and frozen"):
        run_job(instance, "route_batch", batch_id="weekly")
    assert not list(trained.store.root.glob("probability_matrix/weekly/*"))


@pytest.mark.parametrize("step", ["routing_assets.batches.ends.Warehouse.append", "shutil.rmtree"])
def test_an_interrupted_withdrawal_is_repeated(routed: Home, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def power_cut(*_: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(step, power_cut)
        with pytest.raises(OSError, match="power cut"):
            ends.withdraw(routed, "weekly")
    assert not (routed.folders.outbox / "weekly" / "manifest.json").exists()
    ends.withdraw(routed, "weekly")
    assert end_of_batch(routed.warehouse, "weekly") == "withdrawn"
    assert not (routed.folders.outbox / "weekly").exists()
    assert len(routed.warehouse.fetch("end_of_batch", {"batch_id": "weekly"})) == 1


def test_a_batch_whose_folder_the_runners_took_is_dispatched_and_not_withdrawn(routed: Home) -> None:
    (routed.folders.outbox / "weekly").rename(routed.root / "taken")
    with pytest.raises(InvalidInput, match=r"no longer in the outbox.* routing-assets dispatch weekly"):
        ends.withdraw(routed, "weekly")
    ends.dispatch(routed, "weekly")
    assert end_of_batch(routed.warehouse, "weekly") == "dispatched"


def test_outcomes_that_wait_to_be_taken_in_say_that_it_went_out(routed: Home) -> None:
    (routed.folders.outcomes / "weekly").mkdir()
    (routed.folders.outcomes / "weekly" / "outcomes.csv").touch()
    with pytest.raises(InvalidInput, match="batch 'weekly' has outcomes"):
        ends.withdraw(routed, "weekly")


def test_a_batch_that_the_month_could_not_pay_is_asked_for_again_when_another_is_withdrawn(
    trained: Home, batch_file: Path
) -> None:
    trained.policy_file.write_text("period: {budget_usd: 0.5}\n")
    batch_commands.route(trained, batch_file, {"budget_usd": 0.5}, batch_id="mistake")
    (cost,) = trained.warehouse.fetch("current_decision", {"batch_id": "mistake"})
    trained.policy_file.write_text(f"period: {{budget_usd: {1.001 * cost['total_cost']}}}\n")
    with pytest.raises(RunFailed, match="cheapest assignment"):
        batch_commands.route(trained, batch_file, {}, batch_id="good", duplicate=True)
    (before,) = (
        batch.fingerprint
        for batch in stale_batches(trained.warehouse, trained.store, trained.folders, trained.policy_file)
        if batch.batch_id == "good"
    )
    ends.withdraw(trained, "mistake")
    (after,) = (
        batch.fingerprint
        for batch in stale_batches(trained.warehouse, trained.store, trained.folders, trained.policy_file)
        if batch.batch_id == "good"
    )
    assert before != after
    assert batch_commands.reroute(trained)
    assert committed(trained) > 0


def test_the_report_says_which_decisions_are_void(routed: Home) -> None:
    today = datetime.now(UTC).date()
    (before,) = day_report(routed.warehouse, routed.folders, routed.policy_file, today, [])["routed"]
    ends.withdraw(routed, "weekly")
    (after,) = day_report(routed.warehouse, routed.folders, routed.policy_file, today, [])["routed"]
    assert (before["withdrawn"], after["withdrawn"]) == (False, True)


def test_its_data_is_deleted_like_that_of_any_old_batch(routed: Home) -> None:
    ends.withdraw(routed, "weekly")
    with instance_of(routed) as instance:
        assert retire_with_partitions(routed, instance, datetime.now(UTC)) == ["weekly"]
    assert folders_of(routed.store, routed.folders, "weekly") == []
    (retired,) = routed.warehouse.fetch("retirements")
    assert retired["why"].startswith("withdrawn on")


@pytest.mark.parametrize("command", [ends.withdraw, ends.dispatch])
def test_a_warehouse_older_than_withdrawals_is_brought_up_to_date(
    routed: Home, command: Callable[[Home, str], None]
) -> None:
    with routed.warehouse.transaction() as warehouse:
        warehouse.execute("drop table withdrawals; drop table schema_versions")
    command(routed, "weekly")
    assert end_of_batch(routed.warehouse, "weekly") is not None
