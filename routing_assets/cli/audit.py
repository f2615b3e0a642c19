"""Commands for audits: explain an assignment, sum up the spend, replay a decision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from routing_assets.batches.known import decision_in_force, end_of_batch, refuse_retired
from routing_assets.cli.output import say, show, shown_as_json
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import printable
from routing_assets.home import Home
from routing_assets.storage.journal import Head

if TYPE_CHECKING:
    from routing_assets.audit.chain import JournalAudit

UNITS = {
    "switching_price": " expected successes",
    "shadow_price": " expected successes per USD",
    **dict.fromkeys(
        (
            *("estimated_cost_usd", "budget_usd", "batch_cost_usd", "model_mean_cost_usd", "billed_usd"),
            *("expected_second_usd", "second_cost_usd"),
        ),
        " USD",
    ),
    **dict.fromkeys(("input_price", "output_price"), " USD per 1M tokens"),
}
"""Units of the figures that ``explain`` prints. The others are probabilities, counts or names."""
OF_ANSWERS = ("answer", "answer_error", "grade_reason", "second_answer", "second_answer_error")
LONGEST_TEXT = 300
"""Characters that ``explain`` prints of an answer."""


def explain(home: Home, batch_id: str, instruction_id: str) -> None:
    """Print everything behind one assignment (``audit/trace.py``)."""
    from routing_assets.audit.trace import trace_instruction

    decided_by = decision_in_force(home.warehouse, batch_id)["dagster_run_id"]
    refuse_retired(home.warehouse, batch_id)
    runs = runs_that_scored(home, batch_id, decided_by)
    traced = trace_instruction(home.warehouse, home.store, batch_id, instruction_id, runs)
    if traced is None:
        raise InvalidInput(f"batch '{batch_id}' holds no instruction '{instruction_id}'")
    if shown_as_json(traced):
        return
    for name, value in traced.items():
        said = f"{value:.6g}" if isinstance(value, float) else value
        said = _on_one_line(value) if value is not None and name in OF_ANSWERS else said
        say(f"{name:<22} {said}{UNITS.get(name, '') if value is not None else ''}")
    show_reroutings(home, batch_id)


def runs_that_scored(home: Home, batch_id: str, decided_by: str) -> list[str]:
    """The run that decided on a batch, with the failed runs that it resumed where it made no predictions itself."""
    if home.store.exists("probability_matrix", batch_id, decided_by):
        return [decided_by]
    from routing_assets.cli.run_job import instance_of
    from routing_assets.dagster_instance.runs import runs_of

    with instance_of(home) as instance:
        run = instance.get_run_by_id(decided_by)
        return [decided_by] if run is None else runs_of(instance, run)


def _on_one_line(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}… ({len(text)} characters)"


def audit(home: Home, batch_id: str | None, run_id: str | None, *, quick: bool = False) -> bool:
    """Check the ledgers, replay a decision, print spend by month; returns whether all is as recorded.

    This proves the order of entries, and that none is missing up to the newest anchor or was changed since. It does not
    prove that entries were true when written. Somebody who can rewrite the database and every anchor is not detected.

    Args:
        quick: replay nothing, and leave out the anchors in Dagster's log.
    """
    from routing_assets.audit.chain import audit_journal
    from routing_assets.audit.replay import broken_decisions, broken_second_rounds

    if run_id is not None and batch_id is None:
        raise InvalidInput("a run is replayed on its batch", remedy="Give BATCH_ID before --run.")
    journal = audit_journal(home.warehouse, home.folders, {} if quick else anchors_of_dagster(home))
    decisions = broken_decisions(home.warehouse, home.store)
    broken = [*decisions, *broken_second_rounds(home.warehouse, home.store), *journal.found]
    entries = len(home.warehouse.fetch("ledger_entries"))
    show("faults", [{"fault": fault} for fault in broken])
    if not broken:
        say(f"ledger: {entries} decisions, chain and files as recorded")
    show_journal(journal)
    if batch_id is None:
        for of in ("spend_by_policy", "spend_by_model", "spend_by_tenant"):
            show(of, home.warehouse.fetch(of))
        return not broken
    if ended := end_of_batch(home.warehouse, batch_id):
        say(f"batch {batch_id} is {ended}")
    show_reroutings(home, batch_id)
    return (quick or _is_repeated(home, batch_id, run_id)) and not broken


def anchors_of_dagster(home: Home) -> dict[str, list[Head]]:
    """The heads of the journal in Dagster's log, by the name of this place."""
    from routing_assets.cli.run_job import instance_of
    from routing_assets.dagster_instance.anchors import materialised_heads

    with instance_of(home) as instance:
        return {"materialisation events in Dagster's log": materialised_heads(instance)}


def _is_repeated(home: Home, batch_id: str, run_id: str | None) -> bool:
    """Repeat a decision, and its second round, and print whether they came out the same."""
    from routing_assets.audit.replay import replay, replay_second_round
    from routing_assets.cli import second_round

    again = replay(home.warehouse, home.store, home.folders, home.shelf, batch_id, run_id)
    said = "identical, byte for byte" if again.identical else "; ".join(again.differences)
    shown_as_json({"replay": {"run": again.dagster_run_id, "identical": again.identical, "result": said}})
    say(f"replay of batch {batch_id}, run {again.dagster_run_id}: {said}")
    second = replay_second_round(home.warehouse, home.store, home.shelf, batch_id)
    if second is None:
        return again.identical
    second_round.say_how_it_went(home, batch_id)
    said = "identical, byte for byte" if second.identical else "; ".join(second.differences)
    shown_as_json({"replay_of_second_round": {"run": second.dagster_run_id, "identical": second.identical}})
    say(f"replay of its second round, run {second.dagster_run_id}: {said}")
    return again.identical and second.identical


def show_journal(journal: JournalAudit) -> None:
    """Print which anchors the journal was compared with, and what that proves."""
    anchors = ", ".join(f"{count} in {where}" for where, count in journal.anchors.items())
    shown_as_json({"journal": {"entries": journal.head.entry, "head": journal.head.entry_hash, **journal.anchors}})
    say(
        f"journal: {journal.head.entry} entries, the newest {journal.head.entry_hash[:16]}; anchors compared: {anchors}"
    )
    if journal.taken_on_trust:
        say(
            f"the first {journal.taken_on_trust} rows are older than the journal, which was begun on "
            f"{journal.begun_at:%Y-%m-%d %H:%M} UTC: earlier changes to them would not show"
        )
    if not journal.found:
        say(
            "proved: the order of entries, and that none is missing up to the newest anchor or was changed since\n"
            "not proved: that entries were true when written, or that nobody rewrote the database and every anchor"
        )


def show_reroutings(home: Home, batch_id: str) -> None:
    """Print what changed from each decision on a batch to the next: what moved, what was gained, and why."""
    for row in home.warehouse.fetch("reroutings_of", {"batch_id": batch_id}):
        moves = ", ".join(f"{move['count']} {move['from']} -> {move['to']}" for move in json.loads(row["moves"])[:6])
        why = ", ".join(row["reasons"]) or "nothing that changed"
        say(
            f"routed again {row['decided_at']:%Y-%m-%d %H:%M} UTC for {why}: "
            f"{row['moved']} moved, {row['kept']} kept, {row['cost_change_usd']:+.4g} USD, "
            f"{row['success_change']:+.4g} expected successes{f' ({moves})' if moves else ''}"
        )
