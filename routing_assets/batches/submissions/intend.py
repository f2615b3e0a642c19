"""Which files of a batch are sent: their money is held, and the intent recorded, before anything else."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from fractions import Fraction
from pathlib import Path
from typing import Any

from routing_assets.allocation.solver.exact import float_not_below
from routing_assets.batches.answers import Sent
from routing_assets.batches.handoff import Manifest, read_manifest
from routing_assets.batches.outbox import MANIFEST
from routing_assets.batches.request_files import HandedFile
from routing_assets.batches.resend import RESEND
from routing_assets.batches.second_rounds import SECOND, second_round_of
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.ledger import INTENDED, SET_ASIDE, Submission, append_row, submissions_of
from routing_assets.batches.submissions.room import Call, Progress, calls_in, progress_of
from routing_assets.batches.submissions.sent_files import keep, sent_file
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import batch_lock
from routing_assets.foundation.names import printable
from routing_assets.foundation.sql import query


def intend(desk: Desk, decision: Mapping[str, Any], sent: Sent, remarks: list[str]) -> list[Submission]:
    """Record the intent to send each file of a batch that can be sent now; returns what was recorded as intended.

    A file is sent if none of its requests is answered or under way, none was sent too often, and the money of the
    batch and of the month pays for it. A file that will never be sent is set aside with the reason.

    Args:
        sent: by the decision.
        remarks: gets a sentence about each file that has to wait.
    """
    batch_id, intended = decision["batch_id"], []
    with batch_lock(desk.folders.locks, batch_id):  # so that no other hand-off comes in between
        submissions = [of for of in submissions_of(desk.warehouse, batch_id) if not of.of_judge]
        files = list(_unsent(desk, decision, submissions, remarks))
        if not files:
            return []
        progress = progress_of(desk, decision, sent, submissions)
        for path, file in files:
            calls = calls_in(path, str(file.provider), str(file.model), progress.sent)
            row = _judged(desk, decision, file, calls, progress)
            if row is None or row.submission in {of.submission for of in submissions}:
                continue
            if row.state == INTENDED:
                keep(path, sent_file(desk.folders, row))
            if recorded(desk, row, remarks):
                intended.append(row)
                progress = progress.with_under_way(calls)
    return intended


def _unsent(
    desk: Desk, decision: Mapping[str, Any], submissions: Iterable[Submission], remarks: list[str]
) -> Iterator[tuple[Path, HandedFile]]:
    """The request files of both rounds that were never sent, and those to be sent again that are not set aside."""
    batch_id, run_id = decision["batch_id"], decision["dagster_run_id"]
    second = second_round_of(desk.warehouse, batch_id)
    runs = (run_id, second and second["dagster_run_id"])
    known = [of for of in submissions if of.decision_run_id == run_id]
    sent = {of.file_sha256 for of in known}
    aside = {of.file_sha256 for of in known if of.state == SET_ASIDE}
    folder = desk.folders.outbox / batch_id
    for part, done in ((folder, sent), (folder / SECOND, sent), (folder / RESEND, aside)):
        if not (part / MANIFEST).exists():
            continue
        manifest = read_manifest(part)
        if manifest.dagster_run_id not in runs:
            raise InvalidInput("the hand-off is not of the decision in force", source=str(part / MANIFEST))
        yield from sendable(desk, part, manifest, done, remarks)


def sendable(
    desk: Desk, folder: Path, manifest: Manifest, done: Collection[str], remarks: list[str]
) -> Iterator[tuple[Path, HandedFile]]:
    """The files of a hand-off for providers that are sent to, but for those that are done, by their SHA-256."""
    for file in manifest.files:
        if file.provider not in desk.settings.providers or file.sha256 in done:
            continue
        try:
            desk.clients.of(file.provider)
        except InvalidInput as missing:
            remarks.append(str(missing))
        else:
            yield folder / file.name, file


def _judged(
    desk: Desk, decision: Mapping[str, Any], file: HandedFile, calls: Sequence[Call], progress: Progress
) -> Submission | None:
    """The row of a file that is intended or set aside; None where it has to wait for outcomes to be recorded."""
    if strangers := [name for name, model in calls if (name, model) not in progress.estimate]:
        raise InvalidInput(f"the decision does not ask {file.model} {printable(strangers[0])!r}", source=file.name)
    if not progress.under_way.isdisjoint(calls) or not progress.answered.isdisjoint(calls):
        return None
    usd, times = progress.estimated(calls), max(progress.times_sent.get(call, 0) for call in calls)
    why = None
    if times > desk.settings.resends:
        why = sent_too_often(times)
    elif usd > progress.room:
        left = float(max(progress.room, Fraction(0)))
        why = f"it is estimated at {float(usd):.6g} USD, and the batch has {left:.6g} USD left"
    return row_of(desk, decision["batch_id"], decision["dagster_run_id"], file, times, usd, why)


def sent_too_often(times: int) -> str:
    """Why a file is set aside whose requests failed so often."""
    return f"some of its requests were sent {times} times and failed"


def row_of(
    desk: Desk, subject: str, run_id: str, file: HandedFile, times: int, usd: Fraction, why: str | None
) -> Submission:
    """The row of a file that is intended or, where there is a reason, set aside.

    Args:
        subject: the batch, or its judge.
        run_id: of the decision.
        times: how often its requests were sent.
        usd: estimated.
    """
    now = desk.now().astimezone(UTC)
    return Submission(
        _name(subject, run_id, str(times), file.sha256),
        subject,
        run_id,
        times,
        file.name,
        file.sha256,
        int(file.rows or 0),
        str(file.model),
        str(file.api_name),
        str(file.provider),
        str(file.endpoint),
        INTENDED if why is None else SET_ASIDE,
        float_not_below(usd) if why is None else 0.0,
        now,
        now,
        desk.run_id,
        why=why,
    )


def recorded(desk: Desk, row: Submission, remarks: list[str]) -> bool:
    """Append the row, unless the month's money does not pay for it; returns whether the file is to be sent."""
    with desk.warehouse.transaction() as connection:
        sent = connection.execute(query("sent_in_month"), {"now": row.intended_at}).fetchall()
        total = sum((Fraction(usd) for (usd,) in sent), Fraction(row.usd))
        if row.state == INTENDED and total > Fraction(str(desk.settings.most_usd)):
            most = f"{desk.settings.most_usd:g}"
            remarks.append(f"{row.file_name} waits: with it, more than {most} USD would be sent this month")
            return False
        append_row(connection, row)
    if row.state == SET_ASIDE:
        remarks.append(f"{row.file_name} is set aside: {row.why}")
    return row.state == INTENDED


def _name(*parts: str) -> str:
    """A name that every provider keeps; the same for the same file of the same decision in the same round."""
    return f"routing-assets-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"
