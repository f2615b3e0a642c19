"""The request files of a label plan, or of its judge, are sent, and their answers fetched into the same folder."""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction
from functools import partial
from pathlib import Path

from routing_assets.batches.handoff import read_manifest
from routing_assets.batches.submissions.advance import carry_on
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.intend import recorded, row_of, sendable
from routing_assets.batches.submissions.ledger import OF_LABELS, SET_ASIDE, Submission, submissions_of
from routing_assets.batches.submissions.sent_files import ids_in, keep, sent_file
from routing_assets.foundation.locks import batch_lock
from routing_assets.foundation.names import plain_id

ANSWERS = "answers-*.jsonl"


def send_labels(desk: Desk, folder: Path) -> tuple[list[Submission], list[str]]:
    """Do all that can be done now for the hand-off in a folder; returns its submissions, and why some have to wait.

    Each request is sent once. The estimates of a plan keep its budget; the month's limit holds for it as for batches.

    Raises:
        InvalidInput: there is no whole hand-off in the folder.
    """
    place, remarks = folder.resolve(), list[str]()
    name = f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"
    subject = f"{OF_LABELS}{name}"
    receive = partial(_keep_answers, folder)
    with batch_lock(desk.folders.locks / "submissions", plain_id(name)):
        known = submissions_of(desk.warehouse, subject)
        for of in known:
            if of.is_open:
                carry_on(desk, of, receive, remarks)
        sent = {
            name for of in known if of.state != SET_ASIDE for name in ids_in(sent_file(desk.folders, of), of.provider)
        }
        elsewhere = {of.file_sha256 for of in submissions_of(desk.warehouse) if of.of_labels}
        for path, file in sendable(desk, folder, read_manifest(folder), elsewhere, remarks):
            if not sent.isdisjoint(ids_in(path, str(file.provider))):
                continue
            row = row_of(desk, subject, "labels", file, 0, Fraction(file.cost_usd or 0), None)
            keep(path, sent_file(desk.folders, row))
            if recorded(desk, row, remarks):
                carry_on(desk, row, receive, remarks)
        return submissions_of(desk.warehouse, subject), list(dict.fromkeys(remarks))


def _keep_answers(folder: Path, of: Submission, results: Path) -> Fraction:
    """Move the results beside the requests; what they cost is told when they are collected."""
    os.replace(results, folder / ANSWERS.replace("*", of.submission[-8:]))
    return Fraction(of.usd)
