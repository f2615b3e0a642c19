"""Questions to a judge are sent like the files of a batch, within the money that the ledger commits to its judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from routing_assets.answers.answer import Answer
from routing_assets.answers.reading import read_answers
from routing_assets.batches.answers import Sent, received_answers
from routing_assets.batches.handoff import read_manifest
from routing_assets.batches.judging import bills
from routing_assets.batches.outbox import JUDGE, MANIFEST
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.intend import recorded, row_of, sendable, sent_too_often
from routing_assets.batches.submissions.ledger import INTENDED, OF_JUDGE, SET_ASIDE, Submission, submissions_of
from routing_assets.batches.submissions.room import spent_on
from routing_assets.batches.submissions.sent_files import ids_in, keep, sent_file
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import batch_lock

ROUNDING = Fraction(1, 10**12)
"""Of the committed money: the manifest's estimate is a sum of floats."""


def intend_questions(desk: Desk, decision: Mapping[str, Any], sent: Sent, remarks: list[str]) -> list[Submission]:
    """Record the intent to send each file of questions that can be sent now; returns what was recorded as intended.

    A file is sent if none of its questions is answered or under way, and what is committed to the judge, without bills
    and without what is under way, pays for it.

    Args:
        sent: by the decision.
        remarks: gets a sentence about each file that has to wait.
    """
    batch_id, run_id, intended = decision["batch_id"], decision["dagster_run_id"], list[Submission]()
    folder, subject = desk.folders.outbox / batch_id / JUDGE, f"{batch_id}{OF_JUDGE}"
    if not (folder / MANIFEST).exists():
        return []
    with batch_lock(desk.folders.locks, batch_id):
        known = [of for of in submissions_of(desk.warehouse, batch_id) if of.of_judge]
        times, under_way = Counter[str](), set[str]()
        for of in known:
            if of.state != SET_ASIDE:
                ids = ids_in(sent_file(desk.folders, of), of.provider)
                times.update(ids)
                under_way |= set(ids) if of.holds_calls else set()
        came = [answer for answer in received_answers(desk.folders, sent) if sent.is_verdict(answer)]
        answered = {answer.instruction_id for answer in came if answer.error is None}
        committed = _committed(desk, subject)
        room = committed - _usd(desk, came, {}) - sum(Fraction(of.usd) for of in known if of.holds_calls)
        aside = {of.file_sha256 for of in known if of.state == SET_ASIDE}
        for path, file in sendable(desk, folder, read_manifest(folder), aside, remarks):
            ids, usd = ids_in(path, str(file.provider)), Fraction(file.cost_usd or 0)
            if not under_way.isdisjoint(ids) or not answered.isdisjoint(ids):
                continue
            if usd > room + committed * ROUNDING:
                remarks.append(f"{file.name} of the judge waits: it is estimated at more than is committed to it")
                continue
            most = max(times[name] for name in ids)
            why = sent_too_often(most) if most > desk.settings.resends else None
            row = row_of(desk, subject, run_id, file, most, usd, why)
            if row.state == INTENDED:
                keep(path, sent_file(desk.folders, row))
            if recorded(desk, row, remarks):
                intended.append(row)
                room -= usd
    return intended


def billed_to_judge(desk: Desk, of: Submission, results: Path) -> Fraction:
    """USD of the verdicts in a file."""
    answers = read_answers(results).answers
    return _usd(desk, answers, dict.fromkeys((answer.instruction_id for answer in answers), of.model))


def _usd(desk: Desk, verdicts: Iterable[Answer], asked: Mapping[str, str]) -> Fraction:
    if desk.catalog is None:
        raise InvalidInput("no prices are in force", remedy="Give a catalog: routing-assets prices FILE")
    return spent_on(bills(verdicts, asked, desk.catalog), {})


def _committed(desk: Desk, subject: str) -> Fraction:
    rows = desk.warehouse.fetch("newest_commitment", {"batch_id": subject, "runs": [subject]})
    return Fraction(rows[0]["usd"]) if rows else Fraction(0)
