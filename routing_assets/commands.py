"""What the commands do: configure a job, run it, print what it made."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from routing_assets.added import checked_addition, kept_labels, priced_models
from routing_assets.allocation import POLICIES
from routing_assets.champion import why_by_rates
from routing_assets.commitments import SET_FOR_BATCH
from routing_assets.datasets.batch import set_aside_of
from routing_assets.datasets.set_aside import MOST_REASONS, count_set_aside
from routing_assets.errors import InvalidInput
from routing_assets.export import SET_ASIDE, refuse_unknown_ending, write_routed
from routing_assets.handoff import read_manifest
from routing_assets.intake import Admission, intake_lock, latest_revision, receive, receive_outcomes, repeats_allowed
from routing_assets.ledger import (
    decision_in_force,
    end_of_batch,
    refuse_ended,
    router_in_force,
    stale_batches,
)
from routing_assets.locks import batch_lock
from routing_assets.names import printable
from routing_assets.price_commands import costs_in_force, warn_of_doubtful_costs
from routing_assets.retention import Retirable, refuse_future, retirable_batches, retire_batches, retirement_day
from routing_assets.retired_texts import forget_retired_labels
from routing_assets.routed import summary_of
from routing_assets.routing import refuse_doubtful_budget, settings_from, settings_of_request, standing_policy
from routing_assets.runs import RunFailed, instance_of, run_job
from routing_assets.settings import Home
from routing_assets.sources import SIMULATED, absolute, read_catalog
from routing_assets.store import Store
from routing_assets.warehouse import Warehouse
from routing_assets.withdrawal import withdraw_batch


def train(
    home: Home,
    labels: str,
    catalog: str | None,
    format: str,
    *,
    method: str,
    seed: int,
    ignore_columns: Sequence[str] = (),
    allow_missing: bool = False,
    size: int | None = None,
    force: bool = False,
    confirm_prices: bool = False,
) -> None:
    """Train and calibrate a router, compare it with the one in force, and say which of them routes from now on."""
    with instance_of(home) as instance:
        say_what_becomes_of_added_models(home, _catalog(labels, catalog))
        run_job(
            instance,
            "train_router",
            ops={
                "labelled_instructions": {
                    "labels": absolute(labels),
                    "format": format,
                    "ignore_columns": list(ignore_columns),
                    "allow_missing": allow_missing,
                    "size": size,
                    "seed": seed,
                    "confirm_prices": confirm_prices,
                },
                "model_catalog": {"catalog": _catalog(labels, catalog), "confirm_prices": confirm_prices},
                "splits": {"seed": seed},
                "success_classifier": {"method": method, "seed": seed},
                "router_comparison": {"force": force},
            },
        )
    trained = show_comparison(home)
    click.echo(f"router {trained} on the test split of its labels, after each step:")
    click.echo(text_table(Warehouse(home.warehouse).fetch("router_quality", {"router_version": trained})))
    click.echo(f"estimated costs, by the prices in force, come from: {costs_in_force(home).source}")
    click.echo(Warehouse(home.warehouse).fetch("latest_comparison")[0]["worth"])


def add_models(
    home: Home,
    models: Sequence[str],
    labels: str,
    catalog: str | None,
    *,
    force: bool = False,
    confirm_prices: bool = False,
) -> None:
    """Add models to the router in force by a few labels, and say whether the extended router took over."""
    labels, catalog = absolute(labels), None if catalog is None else absolute(catalog)
    with instance_of(home) as instance:
        router_in_force(home)
        if catalog is None and Store(home.store).read("model_catalog").num_rows:
            raise InvalidInput(
                "the prices in force come from a catalog", remedy="Give one that names the new models too."
            )
        checked_addition(home, labels, models, read_catalog(catalog))
        result = run_job(
            instance,
            "add_model",
            ops={
                "added_labels": {"labels": labels, "models": list(models), "confirm_prices": confirm_prices},
                "model_catalog": {"catalog": catalog, "confirm_prices": confirm_prices},
                "extended_router": {"models": list(models)},
                "router_comparison": {"force": force},
            },
        )
    made = result.asset_materializations_for_node("extended_router")[0].metadata
    learnt, held_back = (made[f"instructions_{which}"].value for which in ("learnt_from", "held_back"))
    aside = f"; {held_back} more are held back, for they test the router" if held_back else ""
    click.echo(f"learnt from {learnt} labelled instructions, nothing trained{aside}; predicted unseen:")
    click.echo(text_table(Store(home.store).read("extended_router").to_pylist()))
    show_comparison(home)
    if waiting := len(stale_batches(home)):
        click.echo(f"{waiting} batches that are not dispatched will be routed again")


def say_what_becomes_of_added_models(home: Home, catalog: str | None) -> None:
    """Print which models that were added by few labels are learnt from these as well, and which are left out."""
    kept, prices = kept_labels(home), read_catalog(catalog)
    learnt = priced_models(kept, prices)
    if learnt:
        click.echo(f"labels of added models are learnt from as well: {', '.join(learnt)}")
    if kept is not None and (left_out := [model for model in kept.models if model not in learnt]):
        click.echo(f"labels of added models are left out, for {catalog} does not name them: {', '.join(left_out)}")


def recalibrate(home: Home) -> None:
    """Recalibrate the router in force by outcomes, and say whether the recalibrated one took over."""
    with instance_of(home) as instance:
        run_job(instance, "recalibrate_router")
    show_comparison(home)


def show_comparison(home: Home) -> str:
    """Print the newest comparison, its figures, and what is in force; returns the router that was compared."""
    compared = Warehouse(home.warehouse).fetch("latest_comparison")[0]
    router = router_in_force(home)
    if router["router_version"] != compared["challenger"]:
        click.echo(
            f"router {compared['challenger']} is not put in force: {compared['why']}\n"
            f"it is kept; put it in force all the same with: routing-assets rollback {compared['challenger']}"
        )
    elif compared["champion"] is not None:
        why = compared["why"] if compared["takes_over"] else f"forced, although {compared['why']}"
        click.echo(f"router {compared['challenger']} replaces {compared['champion']}: {why}")
    if compared["champion_brier"] is not None:
        figures = ("ece", "brier", "log_loss")
        sides = ("champion", "challenger")
        click.echo(text_table([{"": s, **{name: compared[f"{s}_{name}"] for name in figures}} for s in sides]))
    click.echo(
        f"router {router['router_version']} is in force (MLflow model version {router['mlflow_model_version']}, "
        f"decides by {router['decision_estimate']})"
    )
    if why := why_by_rates(home):
        click.echo(why)
    return str(compared["challenger"])


def routers(home: Home) -> None:
    """List every router that passed its checks."""
    with instance_of(home):
        rows = Warehouse(home.warehouse).fetch("routers")
    if not rows:
        raise InvalidInput("no router was trained yet", source=str(home.root), remedy="Run routing-assets train first.")
    for row in rows:
        row["since"] = f"{row['since']:%Y-%m-%d %H:%M} UTC" if row["since"] else "-"
    known = ("router_version", "origin", "labels", "mlflow", "state", "since", "reason", "parent")
    shown = (*known, "ece", "brier", "log_loss")
    click.echo(text_table([{name: row[name] or "-" for name in shown} for row in rows]))
    for row in rows:
        if row["state"] == "never" and row["why"]:
            click.echo(f"{row['router_version']} is not in force: {row['why']}")


def rollback(home: Home, version: str | None) -> None:
    """Put the router before, or the named one, in force."""
    from routing_assets.champion import rollback

    with instance_of(home):
        router = rollback(home, version)
        waiting = len(stale_batches(home))
    click.echo(
        f"router {router['router_version']} is in force (MLflow model version {router['mlflow_model_version']}); "
        f"{waiting} batches that are not dispatched will be routed again by it"
    )


def route(
    home: Home,
    batch: Path,
    request: Mapping[str, Any],
    *,
    batch_id: str | None = None,
    output: Path | None = None,
    duplicate: bool = False,
) -> str:
    """Register a batch file and route it; returns the batch id. One that is held in the inbox is so confirmed.

    Raises InvalidInput where another batch holds the same bytes, unless that is meant: ``duplicate``.
    """
    refuse_doubtful_budget(settings_from(request, source="the command line"), "the command line")
    if output is not None:
        refuse_unknown_ending(output)
    router_in_force(home)
    strict = settings_of_request(request, standing_policy(home.policy_file), source="the command line").strict
    with instance_of(home) as instance:
        held = batch.resolve().parent == home.held.resolve()
        admission = Admission(strict=strict, may_repeat=duplicate or repeats_allowed(home.policy_file))
        received = receive(home, batch, batch_id=batch_id, request=request, move=held, admission=admission)
        if received.remark:
            click.echo(f"{printable(batch.name)} {received.remark}")
        result = run_job(instance, "route_batch", resources={"routing_request": request}, batch_id=received.batch_id)
    store = Store(home.store)
    made = partial(store.read_version, partition=received.batch_id, run_id=result.run_id)
    routed = made("routed_batch")
    click.echo(allocations_table([summary_of(made(f"{policy}_allocation")) for policy in POLICIES]))
    summary, why = summary_of(routed), made("batch_budget")["why"][0].as_py()
    click.echo(
        f"\nbatch {received.batch_id}: {summary['instructions']} instructions by {summary['policy']}, "
        f"{summary['cost_usd']:.6g} of {summary['budget_usd']:.6g} USD, "
        f"expected success {summary['expected_success']:.4f}, gap {summary['gap']:.1e}"
    )
    if why != SET_FOR_BATCH:
        click.echo(f"budget: {why}")
    if by_rates := why_by_rates(home):
        click.echo(by_rates)
    warn_of_doubtful_costs(result, summary)
    say_what_is_set_aside(made("batch_instructions"), home.outbox / received.batch_id / SET_ASIDE)
    click.echo(f"written to {home.outbox / received.batch_id}")
    if output is not None:
        write_routed(routed, made("batch_instructions"), output)
        click.echo(f"written to {output}")
    return received.batch_id


def say_what_is_set_aside(instructions: pa.Table, path: Path) -> None:
    """Print how many records of the batch's file are not routed, the reasons, and where they are."""
    aside = set_aside_of(instructions)
    if aside:
        click.echo(f"warning: {count_set_aside(aside)} records are set aside and not routed; see {path}", err=True)
    for reason, places in list(aside.items())[:MOST_REASONS]:
        click.echo(f"  {len(places)}: {reason}", err=True)


def reroute(home: Home) -> bool:
    """Route every stale batch, each in a run of its own, all in this process; returns whether every one came through.

    A batch that fails is named with its reason and stops no other. One that was refused, and of which nothing changed
    since, is named and not tried.
    """
    failed = 0
    with instance_of(home) as instance:
        stale = stale_batches(home)
        waiting = [batch for batch in stale if batch.refused is None]
        for batch in stale:
            if batch.refused is not None:
                click.echo(
                    f"batch {batch.batch_id} waits, for nothing changed since it was refused: {batch.refused}. "
                    f"To take it back: routing-assets withdraw {batch.batch_id}"
                )
        for batch in waiting:
            try:
                request = {"routing_request": batch.request}
                result = run_job(instance, "route_batch", resources=request, batch_id=batch.batch_id)
                click.echo(f"batch {batch.batch_id}: routed for {', '.join(batch.reasons)}")
                routed = Store(home.store).read_version("routed_batch", batch.batch_id, result.run_id)
                warn_of_doubtful_costs(result, summary_of(routed))
            except RunFailed as error:
                failed += 1
                click.echo(f"batch {batch.batch_id}: {error}", err=True)
    wait = f", {len(stale) - len(waiting)} wait" if len(stale) > len(waiting) else ""
    click.echo(f"{len(waiting) - failed} batches routed, {failed} failed{wait}")
    return not failed


def outcomes(home: Home, batch_id: str, file: Path) -> None:
    """Take in what came of a batch, and say how it compares with what was promised."""
    with instance_of(home) as instance:
        for remark in receive_outcomes(home, file, batch_id):
            click.echo(remark)
        result = run_job(instance, "record_outcomes", batch_id=batch_id)
    metadata = result.asset_materializations_for_node("batch_outcomes")[0].metadata
    shown = ("judged", "missing", "predicted_success", "realised_success", "estimated_usd", "realised_usd")
    click.echo(text_table([{name: metadata[name].value for name in shown}]))


def report(home: Home, day: str) -> None:
    """Make and print the report of one day."""
    with instance_of(home) as instance:
        run_job(instance, "report_day", ops={"daily_report": {"day": day}})
    click.echo((home.reports / f"{day}.md").read_text(encoding="utf-8"))
    click.echo(f"written to {home.reports / day}.md and .json")


def dispatch(home: Home, batch_id: str) -> None:
    """Freeze the decision in force of a batch; one that is dispatched stays so. Raises InvalidInput where it is not of
    the batch's newest file, or not as it was asked for last.
    """
    with instance_of(home), batch_lock(home, batch_id), intake_lock(home):  # no other file may come in between
        if end_of_batch(home, batch_id) == "dispatched":
            click.echo(f"batch {batch_id} is dispatched already")
            return
        refuse_ended(home, batch_id)
        decision = decision_in_force(home, batch_id)
        refuse_outdated(home, decision)
        row = {"batch_id": batch_id, "dagster_run_id": decision["dagster_run_id"]}
        folder = home.outbox / batch_id  # which the runners may have taken away
        if folder.exists() and read_manifest(folder).dagster_run_id != row["dagster_run_id"]:
            raise InvalidInput(
                f"the outbox of batch '{batch_id}' holds files of a run that did not finish", remedy="Route it again."
            )
        Warehouse(home.warehouse).append("dispatches", pa.Table.from_pylist([row]))
    click.echo(f"batch {batch_id} is dispatched as run {row['dagster_run_id']} routed it")


def withdraw(home: Home, batch_id: str) -> None:
    """Take a batch back that did not go out. Raises InvalidInput where it did, or is unknown."""
    with instance_of(home):
        withdraw_batch(home, batch_id)
    click.echo(f"batch {batch_id} is withdrawn: its outbox is removed, and money held for it is free again")


def refuse_outdated(home: Home, decision: Mapping[str, Any]) -> None:
    """Raise InvalidInput for a decision that a newer file of its batch, or a newer request for it, has overtaken."""
    newest = latest_revision(home, decision["batch_id"])
    if decision["file_sha256"] != newest.file_sha256:
        raise InvalidInput(
            f"batch '{newest.batch_id}' is not routed since its newest file came; "
            f"the decision in force is on the one before, of {decision['instructions']} instructions",
            remedy="Route the newest file, with another budget if that failed.",
        )
    decided = json.loads(decision["settings"])
    asked = {name: value for name, value in newest.request.items() if value != decided.get(name)}
    if asked:
        raise InvalidInput(
            f"batch '{newest.batch_id}' is not routed since it was asked for with {_settings(asked)}; "
            f"the decision in force was made with {_settings({name: decided.get(name) for name in asked})}",
            remedy="Route it as it is wanted, with another budget if that failed.",
        )


def retire(home: Home, before: datetime | None, *, dry_run: bool = False, yes: bool = False) -> None:
    """Delete the data of batches that ended before ``before``, or as the policy file says, once that is confirmed.

    Args:
        dry_run: only list what would be deleted.
        yes: do not ask.
    """
    with instance_of(home) as instance:
        cutoff = retirement_day(home) if before is None else before.replace(tzinfo=UTC)
        if cutoff is None:
            raise InvalidInput(
                "the policy has no retention_days", source=str(home.policy_file), remedy="Give --before."
            )
        refuse_future(cutoff)
        before_day = f"{cutoff.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        listed = retirable_batches(home, cutoff)
        click.echo(f"{len(listed)} batches were dispatched or withdrawn before {before_day}")
        click.echo(text_table([retirable_row(batch) for batch in listed]), nl=bool(listed))
        if dry_run:
            return
        if listed and not yes:
            _confirm(f"Delete their files, tables and texts for good? ({len(listed)} batches; the ledger keeps them)")
        retired = retire_batches(home, instance, cutoff)
        labels = forget_retired_labels(home, instance)
    click.echo(f"{len(retired)} batches retired; the ledger keeps them\n{labels}")


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
        raise InvalidInput("nothing is deleted without a yes", remedy="Give --yes, or --dry-run to only list it.")
    if not click.confirm(question):
        raise InvalidInput("nothing was deleted")


def evaluate(
    home: Home,
    labels: str,
    catalog: str | None,
    format: str,
    *,
    method: str = "auto",
    ignore_columns: Sequence[str] = (),
    allow_missing: bool = False,
    seeds: int,
    size: int | None,
    output: Path,
    confirm_prices: bool = False,
) -> None:
    """Run ``budget_curves`` on a label table and print its summary."""
    output.mkdir(parents=True, exist_ok=True)  # what cannot be written to is found out before the splits, not after
    config = {
        "labels": absolute(labels),
        "format": format,
        "ignore_columns": list(ignore_columns),
        "allow_missing": allow_missing,
        "catalog": _catalog(labels, catalog),
        "confirm_prices": confirm_prices,
        "method": method,
        "seeds": seeds,
        "size": size,
        "output": str(output.absolute()),
    }
    with instance_of(home) as instance:
        run_job(instance, "evaluate_router", ops={"budget_curves": config})
    click.echo((output / "summary.txt").read_text(encoding="utf-8"))
    click.echo(f"written to {output}")


def allocations_table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """The allocations of a batch side by side, those that keep every constraint first."""
    ignoring = [summary for summary in summaries if summary["notes"].get("not_kept")]
    rows = [allocation_row(summary) for summary in (*(s for s in summaries if s not in ignoring), *ignoring)]
    footnote = "\nWhat ignores a constraint cannot be set against what keeps it: its success is not shown."
    return text_table(rows) + (footnote if ignoring else "")


def allocation_row(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The line of an allocation in the table that ``route`` prints."""
    breaks, infeasible = summary["notes"].get("not_kept", ()), summary["status"] == "infeasible"
    return {
        "policy": summary["policy"],
        "budget USD": summary["budget_usd"],
        "cost USD": "-" if infeasible else summary["cost_usd"],
        "expected success": "-" if infeasible or breaks else summary["expected_success"],
        "gap": "-" if infeasible or breaks else summary["gap"],
        "status": f"ignores {', '.join(breaks)}" if breaks else summary["status"],
    }


def text_table(rows: list[dict[str, Any]]) -> str:
    """Rows as aligned columns; floats with four significant digits. Nothing for no rows."""
    if not rows:
        return ""
    cells = [[f"{v:.4g}" if isinstance(v, float) else printable(str(v)) for v in row.values()] for row in rows]
    lines = [list(rows[0]), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {'unset' if value is None else value}" for name, value in values.items())


def _catalog(labels: str, catalog: str | None) -> str | None:
    if catalog is not None:
        return absolute(catalog)
    return labels if labels.startswith(SIMULATED) else None
