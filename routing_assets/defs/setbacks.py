"""Runs that the environment stopped: they are tried again, with growing pauses."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from routing_assets.defs.failures import ENVIRONMENT, FAILED_FOR

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=6)
REMEMBERED = timedelta(days=14)


@dataclass(frozen=True)
class Setback:
    """What the environment did to the latest runs of a batch, or of a job that has none."""

    run_id: str
    failures: int
    ended: datetime

    def may_be_tried_again(self, now: datetime) -> bool:
        """Whether the pause is over: five minutes, doubled by every failure, six hours at most."""
        return now >= self.ended + min(FIRST_PAUSE * 2 ** min(self.failures - 1, 10), LONGEST_PAUSE)


def setbacks(instance: dg.DagsterInstance, job_name: str, *, until_success: bool = False) -> dict[str, Setback]:
    """By batch, "" where a job has none: its latest failures, where the environment was to blame for the last of them.

    Args:
        until_success: one that was made up for by a later success is none; costs a look at every success.
    """
    statuses = [dg.DagsterRunStatus.FAILURE] + until_success * [dg.DagsterRunStatus.SUCCESS]
    ended = instance.get_run_records(
        dg.RunsFilter(job_name=job_name, statuses=statuses, updated_after=datetime.now(UTC) - REMEMBERED), limit=5_000
    )
    latest: dict[str, Setback] = {}
    over: set[str] = set()
    for record in ended:
        run, batch = record.dagster_run, record.dagster_run.tags.get("dagster/partition", "")
        if run.tags.get(FAILED_FOR) != ENVIRONMENT:
            over.add(batch)
        elif batch not in over:
            before = latest.get(batch)
            latest[batch] = (
                Setback(before.run_id, before.failures + 1, before.ended)
                if before
                else Setback(run.run_id, 1, datetime.fromtimestamp(record.end_time or 0, UTC))
            )
    return latest


def attempt(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """What the run key of a job without batches ends in, so that what the environment stopped is asked for again: the
    run that was stopped, or nothing. None during the pause after it.
    """
    setback = setbacks(instance, job_name, until_success=True).get("")
    if setback is None:
        return ""
    return f"!{setback.run_id}" if setback.may_be_tried_again(datetime.now(UTC)) else None
