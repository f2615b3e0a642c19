"""Runs that the environment stopped: they are tried again, with growing pauses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg

from routing_assets.defs.upkeep.failures import ENVIRONMENT, FAILED_FOR

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=6)
REMEMBERED = timedelta(days=14)
ASKED = "routing/asked"
"""Tag of a run: what it was asked for, whatever attempt it is."""


@dataclass(frozen=True)
class Setback:
    """What the environment did to the latest runs of a batch, or of what was asked for."""

    run_id: str
    failures: int
    ended: datetime

    def may_be_tried_again(self, now: datetime) -> bool:
        """Whether the pause is over: five minutes, doubled by every failure, six hours at most."""
        return now >= self.ended + min(FIRST_PAUSE * 2 ** min(self.failures - 1, 10), LONGEST_PAUSE)


def setbacks(instance: dg.DagsterInstance, job_name: str) -> dict[str, Setback]:
    """By batch: its latest failures, where the environment was to blame for the last of them."""
    failed = instance.get_run_records(
        dg.RunsFilter(
            job_name=job_name, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=datetime.now(UTC) - REMEMBERED
        ),
        limit=5_000,
    )
    by_batch: dict[str, list[dg.RunRecord]] = {}
    for record in failed:
        by_batch.setdefault(record.dagster_run.tags.get("dagster/partition", ""), []).append(record)
    found = {batch: _setback(records) for batch, records in by_batch.items()}
    return {batch: setback for batch, setback in found.items() if setback is not None}


def next_run_key(instance: dg.DagsterInstance, asked: str) -> str | None:
    """The run key under which to ask for what ``asked`` names; None during the pause after the environment stopped it.

    Runs of it must carry ``asked`` in their tag ``ASKED``; those that Dagster starts again do. Dagster makes no second
    run of a key, so the key is new only where the environment stopped the newest run.
    """
    setback = _setback(instance.get_run_records(dg.RunsFilter(tags={ASKED: asked})))
    if setback is None:
        return asked
    return f"{asked}!{setback.run_id}" if setback.may_be_tried_again(datetime.now(UTC)) else None


def _setback(newest_first: Sequence[dg.RunRecord]) -> Setback | None:
    """The failures that the environment is to blame for since any other run; None where the newest is another."""
    stopped = list(takewhile(_stopped_by_environment, newest_first))
    if not stopped:
        return None
    return Setback(stopped[0].dagster_run.run_id, len(stopped), datetime.fromtimestamp(stopped[0].end_time or 0, UTC))


def _stopped_by_environment(record: dg.RunRecord) -> bool:
    run = record.dagster_run
    return run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(FAILED_FOR) == ENVIRONMENT
