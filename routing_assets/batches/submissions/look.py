"""A quick look at the providers and the outbox: which batches have something to be done. It changes nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from routing_assets.batches.outbox import JUDGE, MANIFEST
from routing_assets.batches.resend import RESEND
from routing_assets.batches.second_rounds import SECOND
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.ledger import INTENDED, SENDING, Submission, open_submissions
from routing_assets.batches.submissions.next_step import CLOCKS_DIFFER, SETTLED
from routing_assets.foundation.errors import InvalidInput
from routing_assets.providers.clients.client import ProviderFault

PAGES = 10
"""Of a provider's jobs that one look reads; the next look goes on where it ended."""


@dataclass(frozen=True)
class Look:
    """What a look found.

    Attributes:
        batches: those that have something to be done, each with its newest entry in the ledger.
        pages: by provider, where the next look goes on; nothing where it begins with the newest jobs.
        remarks: what could not be seen, a sentence each.
    """

    batches: Mapping[str, int]
    pages: Mapping[str, str]
    remarks: Sequence[str]


def look(desk: Desk, pages: Mapping[str, str] | None = None) -> Look:
    """Look once at every provider that has jobs under way, and at every batch that may have files to send."""
    under_way = [of for of in open_submissions(desk.warehouse) if not of.of_labels]
    now = desk.now()
    batches: dict[str, int] = {of.batch: of.entry for of in under_way if _is_due(of, now)}
    remarks, goes_on = list[str](), dict[str, str]()
    for provider in sorted({of.provider for of in under_way if of.state != INTENDED}):
        own = [of for of in under_way if of.provider == provider and of.state != INTENDED]
        try:
            found, after = _poll(desk, provider, own, (pages or {}).get(provider))
            batches |= {of.batch: of.entry for of in found}
            goes_on |= {provider: after} if after else {}
        except (ProviderFault, InvalidInput) as fault:
            remarks.append(f"{provider}: {fault}")
    if _month_is_spent(desk):
        return Look(batches, goes_on, [*remarks, f"no more is sent this month than {desk.settings.most_usd:g} USD"])
    waiting, missing = _to_send(desk)
    return Look(waiting | batches, goes_on, [*remarks, *missing])


def _is_due(of: Submission, now: datetime) -> bool:
    if of.state == INTENDED:
        return of.not_before is None or of.not_before <= now
    return of.state == SENDING and of.recorded_at + SETTLED <= now


def _poll(
    desk: Desk, provider: str, own: Sequence[Submission], after: str | None
) -> tuple[list[Submission], str | None]:
    """The submissions whose job ended, or was found again after a crash; and where the next look goes on."""
    client, found = desk.clients.of(provider), list[Submission]()
    by_job = {of.job_id: of for of in own if of.job_id}
    by_name = {of.submission: of for of in own if of.state == SENDING}
    oldest = min(of.intended_at for of in own) - CLOCKS_DIFFER
    for _ in range(PAGES):
        page = client.page(after)
        found += [by_job[job.id] for job in page.jobs if job.id in by_job and job.state != "open"]
        found += [by_name[job.name] for job in page.jobs if job.name in by_name]
        after = page.after
        if after is None or (client.newest_first and page.jobs and page.jobs[-1].created < oldest):
            return found, None
    return found, after


def _month_is_spent(desk: Desk) -> bool:
    sent = (Fraction(row["usd"]) for row in desk.warehouse.fetch("sent_in_month", {"now": desk.now()}))
    return sum(sent, Fraction(0)) >= Fraction(str(desk.settings.most_usd))


def _to_send(desk: Desk) -> tuple[dict[str, int], list[str]]:
    """Batches with files that were not sent, or that are to be sent again; and why some files are not sent."""
    batches, missing = dict[str, int](), dict[str, None]()
    rows = desk.warehouse.fetch("submittable_batches", {"routed": desk.settings.when == "routed"})
    for row in rows:
        folder = desk.folders.outbox / row["batch_id"]
        done = {folder: row["sent_files"], folder / SECOND: row["sent_files"]}
        if row["has_news"]:
            done[folder / RESEND] = row["files_aside"]
        if not row["is_judging"]:
            done[folder / JUDGE] = row["files_aside"] if row["has_news"] else row["sent_files"]
        unsent = (_unsent(desk, part / MANIFEST, files) for part, files in done.items())
        for provider in sorted(set[str]().union(*unsent)):
            try:
                desk.clients.of(provider)
                batches[row["batch_id"]] = row["entry"]
            except InvalidInput as why:
                missing[str(why)] = None
    return batches, list(missing)


def _unsent(desk: Desk, manifest: Path, sent: Collection[str]) -> set[str]:
    """The providers of the files in a hand-off that were not sent yet; none where there is no such hand-off."""
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return set()
    return {file["provider"] for file in files if file["sha256"] not in sent} & set(desk.settings.providers)
