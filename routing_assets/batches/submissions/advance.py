"""Carry the submissions of a batch on: send, find again after a crash, fetch. May be stopped and repeated anywhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from routing_assets.allocation.solver.exact import float_not_below
from routing_assets.batches.answers import Sent, sent_by
from routing_assets.batches.ends import dispatch_batch
from routing_assets.batches.known import decision_in_force, end_of_batch
from routing_assets.batches.outcomes import receive_outcomes
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.intend import intend
from routing_assets.batches.submissions.judge_files import billed_to_judge, intend_questions
from routing_assets.batches.submissions.ledger import (
    EXPIRED,
    FAILED,
    FETCHED,
    INTENDED,
    SENDING,
    SET_ASIDE,
    SUBMITTED,
    UNREAD,
    Submission,
    open_submissions,
    record,
    submissions_of,
)
from routing_assets.batches.submissions.next_step import (
    CLOCKS_DIFFER,
    SETTLED,
    Adopt,
    Collect,
    Compare,
    Send,
    Wait,
    next_step,
)
from routing_assets.batches.submissions.room import billed
from routing_assets.batches.submissions.sent_files import complete, fetch, ids_in, sent_file
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import file_sha256
from routing_assets.foundation.locks import batch_lock
from routing_assets.providers.clients.client import BatchClient, Job, ProviderFault

PAUSE = timedelta(minutes=10)
"""Before a refused call is made again, where the provider names no time."""
MOST_PAGES = 200
"""Of a provider's jobs that are searched for one that was created before a crash."""
MOST_TRIES = 5
"""To receive results; ten minutes apart, after which they are left to people."""
Receive = Callable[[Submission, Path], Fraction]
"""Takes the results of a job, and returns what they cost in USD."""
ENDED = {"done": FETCHED, "failed": FAILED, "expired": EXPIRED}


def advance(desk: Desk, batch_id: str) -> list[str]:
    """Do all that can be done now for a batch; returns why the rest has to wait, a sentence each.

    Raises:
        InvalidInput: the batch is not dispatched, or its hand-off is not that of its decision.
    """
    remarks: list[str] = []
    with batch_lock(desk.folders.locks / "submissions", batch_id):
        if desk.settings.when == "routed" and end_of_batch(desk.warehouse, batch_id) is None:
            dispatch_batch(desk.warehouse, desk.folders, batch_id)
        if end_of_batch(desk.warehouse, batch_id) != "dispatched":
            raise InvalidInput(
                f"batch '{batch_id}' is not dispatched", remedy=f"Dispatch it: routing-assets dispatch {batch_id}"
            )
        decision = decision_in_force(desk.warehouse, batch_id)
        sent = sent_by(desk.warehouse, desk.store, decision)
        receive = partial(_receive_outcomes, desk, sent)
        for of in submissions_of(desk.warehouse, batch_id):
            if of.is_open:
                carry_on(desk, of, receive, remarks)
        intended = intend(desk, decision, sent, remarks)
        for of in [*intended, *intend_questions(desk, decision, sent, remarks)]:
            carry_on(desk, of, receive, remarks)
    return list(dict.fromkeys(remarks))


def _receive_outcomes(desk: Desk, sent: Sent, of: Submission, results: Path) -> Fraction:
    """Keep the results as outcomes of the batch; returns what they cost."""
    usd = billed_to_judge(desk, of, results) if of.of_judge else billed(sent, results)
    receive_outcomes(desk.warehouse, desk.store, desk.folders, results, of.batch, move=True, sent=sent)
    return usd


def carry_on(desk: Desk, of: Submission, receive: Receive, remarks: list[str]) -> None:
    """Take steps until the submission has ended or has to wait.

    Args:
        receive: takes the results of its job.
        remarks: gets a sentence where it has to wait.
    """
    others: set[str] = set()
    try:
        client = desk.clients.of(of.provider)
        while of.is_open:
            if of.state == SENDING and not client.names_jobs:
                others |= {known.job_id for known in submissions_of(desk.warehouse) if known.job_id}
            match next_step(of, _jobs(client, of), others, desk.now()):
                case Wait(why):
                    remarks.append(f"{of.file_name} waits: {why}")
                    return
                case Send():
                    of = _send(desk, client, of)
                    if of.state != SUBMITTED:
                        remarks.append(f"{of.file_name}: {of.why}")
                    return
                case Adopt(job):
                    of = record(desk.warehouse, of.becomes(SUBMITTED, desk.now(), desk.run_id, job_id=job.id))
                case Compare(jobs):
                    own = next((job for job in jobs if _is_of(desk, client, of, job)), None)
                    others |= {job.id for job in jobs}
                    if own is not None:
                        of = record(desk.warehouse, of.becomes(SUBMITTED, desk.now(), desk.run_id, job_id=own.id))
                case Collect(job):
                    if (fetched := _collect(desk, client, of, job, receive)) is None:
                        remarks.append(f"{of.file_name} waits: the results are not whole yet")
                        return
                    of = fetched
                    if of.state == UNREAD:
                        remarks.append(f"{of.file_name} is set aside: {of.why}")
    except (ProviderFault, InvalidInput) as fault:
        remarks.append(f"{of.file_name} waits: {of.provider}: {fault}")


def _jobs(client: BatchClient, of: Submission) -> list[Job]:
    """The jobs that decide what is next: its own or, after a crash, all that were created since."""
    if of.job_id is not None:
        return [client.job(of.job_id)]
    if of.state == INTENDED:
        return []
    since, jobs, after = of.recorded_at - CLOCKS_DIFFER, list[Job](), None
    for _ in range(MOST_PAGES):
        page = client.page(after)
        jobs += page.jobs
        after = page.after
        if after is None or (client.newest_first and page.jobs and page.jobs[-1].created < since):
            return jobs
    raise ProviderFault(f"more than {MOST_PAGES} pages of jobs; that of {of.submission} was not found among them")


def _send(desk: Desk, client: BatchClient, of: Submission) -> Submission:
    path = sent_file(desk.folders, of)
    if file_sha256(path) != of.file_sha256:
        why = "the file is not the one that was recorded"
        return record(desk.warehouse, of.becomes(SET_ASIDE, desk.now(), desk.run_id, usd=0.0, why=why))
    try:
        uploaded = client.upload(path, of.submission)
    except ProviderFault as fault:
        return _refused(desk, of, fault)
    with _turn(desk, client):
        if not client.names_jobs and _mistakable(desk, of):
            why = f"{of.provider} names no jobs, and one of as many requests may be under way unrecorded"
            return record(
                desk.warehouse, of.becomes(INTENDED, desk.now(), desk.run_id, not_before=desk.now() + PAUSE, why=why)
            )
        of = record(desk.warehouse, of.becomes(SENDING, desk.now(), desk.run_id))
        try:
            job = client.create(uploaded, of.submission, model=of.api_name, endpoint=of.endpoint)
        except ProviderFault as fault:
            if not fault.refused:
                raise  # it may have been created: the state says so, and it is looked for
            return _refused(desk, of, fault)
        return record(desk.warehouse, of.becomes(SUBMITTED, desk.now(), desk.run_id, job_id=job.id))


def _refused(desk: Desk, of: Submission, fault: ProviderFault) -> Submission:
    """Nothing was created: it is sent again after a pause, or set aside where that is no use."""
    if fault.lasting:
        return record(desk.warehouse, of.becomes(SET_ASIDE, desk.now(), desk.run_id, usd=0.0, why=str(fault)))
    pause = PAUSE if fault.retry_after is None else timedelta(seconds=fault.retry_after)
    until = desk.now() + pause
    return record(desk.warehouse, of.becomes(INTENDED, desk.now(), desk.run_id, not_before=until, why=str(fault)))


def _turn(desk: Desk, client: BatchClient) -> AbstractContextManager[None]:
    """One at a time sends to a provider whose jobs have no names."""
    return nullcontext() if client.names_jobs else batch_lock(desk.folders.locks / "providers", client.provider)


def _mistakable(desk: Desk, of: Submission) -> bool:
    """Whether the job of a call that was cut off could be taken for this one."""
    sending = (other for other in open_submissions(desk.warehouse) if other.state == SENDING)
    return any(
        (other.provider, other.requests) == (of.provider, of.requests)
        for other in sending
        if other.submission != of.submission
    )


def _is_of(desk: Desk, client: BatchClient, of: Submission, job: Job) -> bool:
    """Whether an ended job has the results of exactly the requests of a submission."""
    path = sent_file(desk.folders, of)
    results = path.with_suffix(".results.jsonl")
    fetch(client, job, results)
    same = set(ids_in(results, of.provider)) == set(ids_in(path, of.provider))
    results.unlink()
    return same


def _collect(desk: Desk, client: BatchClient, of: Submission, job: Job, receive: Receive) -> Submission | None:
    """Fetch and receive the results, and record that; None where they are not whole yet.

    Results that cannot be received are kept, and the submission is tried again some times.
    """
    results = sent_file(desk.folders, of).with_suffix(".results.jsonl")
    fetch(client, job, results)
    try:
        return _received(desk, client, of, job, receive, results)
    except InvalidInput as fault:
        tries = desk.warehouse.fetch("failed_receipts", {"submission": of.submission})[0]["times"] + 1
        why = f"its results cannot be received: {fault}"
        if tries < MOST_TRIES:
            row = of.becomes(SUBMITTED, desk.now(), desk.run_id, not_before=desk.now() + PAUSE, why=why)
        else:
            row = of.becomes(UNREAD, desk.now(), desk.run_id, why=f"{why}. They are kept: {results}")
        return record(desk.warehouse, row)


def _received(
    desk: Desk, client: BatchClient, of: Submission, job: Job, receive: Receive, results: Path
) -> Submission | None:
    """Receive the results of a job that ended; None where they are not whole yet."""
    sent = ids_in(sent_file(desk.folders, of), of.provider)
    whole = set(sent) <= set(ids_in(results, of.provider))
    if not whole and job.state == "done" and desk.now() < (job.ended or job.created) + SETTLED:
        return None
    why = job.why if job.state != "done" else "the provider's results lack it"
    missing = complete(client, results, sent, f"job {job.id}: {why}")
    changes: dict[str, Any] = {"usd": float_not_below(receive(of, results))}
    if missing:
        changes["why"] = f"{len(missing)} of {len(sent)} requests have no result: {why}"
    return record(desk.warehouse, of.becomes(ENDED[job.state], desk.now(), desk.run_id, **changes))
