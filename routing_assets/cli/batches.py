"""Commands on batches: configure a job, run it, print the result."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import yaml

from routing_assets.allocation import POLICIES
from routing_assets.answers.graders.grade import Grader
from routing_assets.answers.graders.table import GraderChoice
from routing_assets.batches.grades import ungraded
from routing_assets.batches.known import decision_in_force
from routing_assets.batches.money import SET_FOR_BATCH
from routing_assets.batches.outbox import JUDGE, SET_ASIDE
from routing_assets.batches.outcomes import receive_outcomes
from routing_assets.batches.policy import (
    GRADER,
    read_policy,
    refuse_doubtful_budget,
    settings_from,
    settings_of_request,
)
from routing_assets.batches.receive import Admission, receive
from routing_assets.batches.resend import RESEND
from routing_assets.batches.retention import Retirable, refuse_future, retirable_batches, retirement_day
from routing_assets.batches.route import summary_of
from routing_assets.batches.routed_files import refuse_unknown_ending, write_routed
from routing_assets.batches.stale import stale_batches
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.output import say, show, shown_as_json
from routing_assets.cli.prices import warn_of_doubtful_costs
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets.batch import set_aside_of
from routing_assets.datasets.set_aside import MOST_REASONS, count_set_aside
from routing_assets.defs.upkeep.retention import forget_labels, retire_with_partitions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import HasSchema
from routing_assets.foundation.names import printable
from routing_assets.foundation.schema import read_values
from routing_assets.home import Home
from routing_assets.routers.release import why_by_rates
from routing_assets.storage.in_force import router_in_force
from routing_assets.storage.partitioned import PartitionedTable

ANSWERS = ("calls", "answered", "failed", "cost_unknown")
GRADES = (
    *("grader", "graded", "ungraded", "mean_grade", "compared_with_people", "agreement", "kappa", "judge_spent_usd"),
    *("judged_in_both_orders", "orders_differ"),
)
OUTCOMES = ("judged", "missing", "predicted_success", "realised_success", "estimated_usd", "realised_usd")
"""The figures of each asset that the commands print."""


def route(
    home: Home,
    batch: Path,
    request: Mapping[str, Any],
    *,
    batch_id: str | None = None,
    output: Path | None = None,
    duplicate: bool = False,
    encoding: str | None = None,
    grader: str | None = None,
) -> str:
    """Register a batch file and route it; returns the batch id. Routing a file that the inbox holds confirms it.

    Raises InvalidInput where another batch holds the same bytes, unless that is meant: ``duplicate``.
    """
    refuse_doubtful_budget(settings_from(request, source="the command line"), "the command line")
    if grader is not None:
        request = {**request, GRADER: _chosen(grader)}
    if output is not None:
        refuse_unknown_ending(output)
    router_in_force(home.warehouse)
    policy = read_policy(home.policy_file)
    strict = settings_of_request(request, policy.settings, source="the command line").strict
    with instance_of(home) as instance:
        held = batch.resolve().parent == home.folders.held.resolve()
        may_repeat = duplicate or policy.duplicates == "route"
        admission = Admission(strict, may_repeat, policy.layout, encoding or policy.encoding)
        received = receive(
            home.warehouse, home.folders, batch, batch_id=batch_id, request=request, move=held, admission=admission
        )
        if received.remark:
            say(f"{printable(batch.name)} {received.remark}")
        result = run_job(
            instance, "route_batch", resources={"routing_request": received.request}, batch_id=received.batch_id
        )
    store = home.store

    def made(asset: str) -> PartitionedTable:
        return store.parts(asset, received.batch_id, result.run_id)

    routed = made("routed_batch")
    show_allocations([summary_of(made(f"{policy}_allocation")) for policy in POLICIES])
    say()
    show("traffic", home.warehouse.fetch("traffic_of", {"batch_id": received.batch_id, "run_id": result.run_id}))
    summary, why = summary_of(routed), made("batch_budget").read()["why"][0].as_py()
    say(
        f"\nbatch {received.batch_id}: {summary['instructions']} instructions by {summary['policy']}, "
        f"{summary['cost_usd']:.6g} of {summary['budget_usd']:.6g} USD, "
        f"expected success {summary['expected_success']:.4f}, gap {summary['gap']:.1e}"
    )
    if why != SET_FOR_BATCH:
        say(f"budget: {why}")
    if by_rates := why_by_rates(home.warehouse, home.shelf):
        say(by_rates)
    warn_of_doubtful_costs(result, summary)
    say_what_is_set_aside(made("batch_instructions"), home.folders.outbox / received.batch_id / SET_ASIDE)
    say(f"written to {home.folders.outbox / received.batch_id}")
    if output is not None:
        write_routed(routed, made("batch_instructions"), output)
        say(f"written to {output}")
    shown_as_json({"batch_id": received.batch_id, "outbox": str(home.folders.outbox / received.batch_id)})
    return received.batch_id


def say_what_is_set_aside(instructions: HasSchema, path: Path) -> None:
    """Print how many records of the batch's file are not routed, the reasons, and where they are."""
    aside = set_aside_of(instructions)
    if aside:
        click.echo(f"warning: {count_set_aside(aside)} records are set aside and not routed; see {path}", err=True)
    for reason, places in list(aside.items())[:MOST_REASONS]:
        click.echo(f"  {len(places)}: {reason}", err=True)


def reroute(home: Home) -> bool:
    """Route every stale batch, each in a run of its own, all in this process; returns whether every one came through.

    A batch that fails is named with its reason and does not stop the others. One that was refused is named, and not
    tried again until something changed.
    """
    failed = 0
    with instance_of(home) as instance:
        stale = stale_batches(home.warehouse, home.store, home.folders, home.policy_file)
        waiting = [batch for batch in stale if batch.refused is None]
        for batch in stale:
            if batch.refused is not None:
                say(
                    f"batch {batch.batch_id} waits, because nothing changed since it was refused: {batch.refused}. "
                    f"To take it back: routing-assets withdraw {batch.batch_id}"
                )
        for batch in waiting:
            try:
                request = {"routing_request": batch.request}
                result = run_job(instance, "route_batch", resources=request, batch_id=batch.batch_id)
                say(f"batch {batch.batch_id}: routed for {', '.join(batch.reasons)}")
                routed = home.store.read_version("routed_batch", batch.batch_id, result.run_id)
                warn_of_doubtful_costs(result, summary_of(routed))
            except RunFailed as error:
                failed += 1
                click.echo(f"batch {batch.batch_id}: {error}", err=True)
    wait = f", {len(stale) - len(waiting)} wait" if len(stale) > len(waiting) else ""
    say(f"{len(waiting) - failed} batches routed, {failed} failed{wait}")
    return not failed


def outcomes(
    home: Home, batch_id: str, file: Path, encoding: str | None = None, columns: Mapping[str, str] | None = None
) -> None:
    """Record the outcomes of a batch, and print how they compare with the predictions."""
    made = _take_in(home, batch_id, [file], encoding=encoding, columns=columns)
    show("batch_outcomes", [{name: made["batch_outcomes"][name] for name in OUTCOMES}])


def answers(
    home: Home,
    batch_id: str,
    files: Sequence[Path],
    grader: str | None = None,
    encoding: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> None:
    """Take in the answers to a batch, grade them, and print what came of it.

    Args:
        grader: as the policy file has it, in YAML; it is that of the batch from now on.
        encoding, columns: of tables, see ``receive_outcomes``.
    """
    ops = {} if grader is None else {"grades": {"grader": _chosen(grader)}}
    made = _take_in(home, batch_id, files, ops, encoding=encoding, columns=columns)
    for asset, names in (("answers", ANSWERS), ("grades", GRADES), ("batch_outcomes", OUTCOMES)):
        shown = {name: made[asset][name] for name in names if name in made[asset]}
        show(asset, [shown] if shown else [])
    spent, budget = made["answers"]["spent_usd"], decision_in_force(home.warehouse, batch_id)["budget"]
    say(f"spent {spent:.6g} of {budget:.6g} USD")
    for reason, count in list(ungraded(home.store.read("grades", batch_id)).items())[:MOST_REASONS]:
        click.echo(f"warning: {count} answers are not graded: {reason}", err=True)
    if made["grades"].get("to_judge"):
        say(f"to be judged: {made['grades']['to_judge']} requests in {home.folders.outbox / batch_id / JUDGE}")
    if made["batch_outcomes"]["to_resend"]:
        say(f"to be sent again: {home.folders.outbox / batch_id / RESEND}")


def _chosen(grader: str) -> dict[str, Any]:
    """A grader as YAML says it, as the asset ``grades`` takes it."""
    choice = grader_of(grader)
    return {choice.name: choice.chosen_settings}


def grader_of(grader: str) -> Grader:
    """The grader that YAML says."""
    try:
        return read_values(GraderChoice, yaml.safe_load(grader), source="--grader").grader
    except yaml.YAMLError as error:
        raise InvalidInput(
            f"{grader!r} is not YAML", source="--grader", remedy="Give a name, such as exact."
        ) from error


def _take_in(
    home: Home,
    batch_id: str,
    files: Sequence[Path],
    ops: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    encoding: str | None,
    columns: Mapping[str, str] | None,
) -> dict[str, dict[str, Any]]:
    """Receive files of a batch, and record its outcomes; returns the figures of each asset."""
    with instance_of(home) as instance:
        for file in files:
            for remark in receive_outcomes(
                home.warehouse, home.store, home.folders, file, batch_id, encoding=encoding, columns=columns
            ):
                say(remark)
        result = run_job(instance, "record_outcomes", ops=ops, batch_id=batch_id)
    return {
        asset: {name: found.value for name, found in result.asset_materializations_for_node(asset)[0].metadata.items()}
        for asset in ("answers", "grades", "batch_outcomes")
    }


def retire(home: Home, before: datetime | None, *, dry_run: bool = False, yes: bool = False) -> None:
    """Delete the data of batches that ended before ``before``, or as the policy file says, once that is confirmed.

    Args:
        dry_run: only list what would be deleted.
        yes: do not ask.
    """
    with instance_of(home) as instance:
        cutoff = retirement_day(home.policy_file) if before is None else before.replace(tzinfo=UTC)
        if cutoff is None:
            raise InvalidInput(
                "the policy has no retention_days", source=str(home.policy_file), remedy="Give --before."
            )
        refuse_future(cutoff)
        before_day = f"{cutoff.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        listed = retirable_batches(home.warehouse, home.store, home.folders, cutoff)
        say(f"{len(listed)} batches were dispatched or withdrawn before {before_day}")
        show("retirable", [retirable_row(batch) for batch in listed])
        if dry_run:
            return
        if listed and not yes:
            _confirm(f"Delete their files, tables and texts for good? ({len(listed)} batches; the ledger keeps them)")
        retired = retire_with_partitions(home, instance, cutoff)
        labels = forget_labels(home, instance)
    say(f"{len(retired)} batches retired; the ledger keeps them\n{labels}")


def retirable_row(batch: Retirable) -> dict[str, Any]:
    """The line of a batch in the list of what a retirement deletes."""
    return {
        "batch": batch.batch_id,
        "ended": f"{batch.ended} {batch.ended_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "size": f"{batch.bytes / 2**20:.4g} MiB",
    }


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _confirm(question: str) -> None:
    """Raise InvalidInput unless the user at the terminal says yes."""
    if not at_terminal():
        raise InvalidInput("deleting needs a confirmation", remedy="Give --yes, or --dry-run to only list it.")
    if not click.confirm(question, err=True):
        raise InvalidInput("nothing was deleted")


def show_allocations(summaries: Sequence[Mapping[str, Any]]) -> None:
    """Print the allocations of a batch side by side, those that keep every constraint first."""
    ignoring = [summary for summary in summaries if summary["notes"].get("not_kept")]
    show("allocations", [allocation_row(s) for s in (*(s for s in summaries if s not in ignoring), *ignoring)])
    if ignoring:
        say("The success of an allocation that ignores a constraint is not shown, as it cannot be compared.")


def allocation_row(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The line of an allocation in the table that ``route`` prints."""
    breaks, infeasible = summary["notes"].get("not_kept", ()), summary["status"] == "infeasible"
    return {
        "policy": summary["policy"],
        "budget USD": summary["budget_usd"],
        "cost USD": None if infeasible else summary["cost_usd"],
        "expected success": None if infeasible or breaks else summary["expected_success"],
        "gap": None if infeasible or breaks else summary["gap"],
        "status": f"ignores {', '.join(breaks)}" if breaks else summary["status"],
    }
