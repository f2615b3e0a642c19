"""What to do next with a submission: a pure function of its row in the ledger and of its provider's jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from routing_assets.batches.submissions.ledger import INTENDED, SENDING, Submission
from routing_assets.providers.clients.client import Job

SETTLED = timedelta(minutes=15)
"""After this long, a call that was cut off has created its job or never will, and an ended job's results are whole."""
CLOCKS_DIFFER = timedelta(hours=1)
"""At most, between this machine and a provider."""


@dataclass(frozen=True)
class Send:
    """Create the job."""


@dataclass(frozen=True)
class Adopt:
    """The job was created before a crash: record it."""

    job: Job


@dataclass(frozen=True)
class Compare:
    """One of these ended jobs without a name may be the one that was created before a crash: the ids tell."""

    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Collect:
    """The job ended: fetch its results."""

    job: Job


@dataclass(frozen=True)
class Wait:
    """Nothing now."""

    why: str


Step = Send | Adopt | Compare | Collect | Wait


def next_step(of: Submission, jobs: Iterable[Job], others: Collection[str], now: datetime) -> Step:
    """The next step of a submission that is under way.

    Args:
        jobs: of its provider. Where it is being sent, all that were created since, by either clock.
        others: ids of jobs that are known to be of other submissions.
    """
    if of.not_before is not None and now < of.not_before:
        asked = f"{of.provider} asked to wait until {of.not_before:%H:%M} UTC"
        return Wait(asked if of.state == INTENDED else str(of.why))
    if of.state == INTENDED:
        return Send()
    if of.state == SENDING:
        return _after_a_crash(of, jobs, others, now)
    job = next((job for job in jobs if job.id == of.job_id), None)
    if job is None or job.state == "open":
        return Wait("the job is under way")
    return Collect(job)


def _after_a_crash(of: Submission, jobs: Iterable[Job], others: Collection[str], now: datetime) -> Step:
    """A call may have been made: its job is looked for, and only where there is certainly none is it made again."""
    nameless = []
    for job in jobs:
        if job.name == of.submission:
            return Adopt(job)
        since, until = of.recorded_at - CLOCKS_DIFFER, of.recorded_at + SETTLED + CLOCKS_DIFFER
        if job.name is None and job.requests == of.requests and job.id not in others and since <= job.created <= until:
            nameless.append(job)
    if any(job.state == "open" for job in nameless):
        return Wait(f"a job at {of.provider} may be this one; its results will tell")
    if nameless:
        return Compare(tuple(nameless))
    settled = now >= of.recorded_at + SETTLED
    return Send() if settled else Wait("the call that was cut off may still have created a job")
