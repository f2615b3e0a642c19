"""The ledger ``submissions``: a row for each change of a submission's state, chained in the journal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from routing_assets.batches.outbox import JUDGE
from routing_assets.storage.journal import append
from routing_assets.storage.warehouse import Warehouse

INTENDED, SENDING, SUBMITTED = "intended", "sending", "submitted"
FETCHED, FAILED, EXPIRED, SET_ASIDE = "fetched", "failed", "expired", "set aside"
UNREAD = "unread"
OPEN = (INTENDED, SENDING, SUBMITTED)
OF_JUDGE = f"/{JUDGE}"
"""What the subject of questions to a judge ends with; their money is committed to the same."""
OF_LABELS = "labels:"
"""What the subject of a label plan begins with; no batch can be called so."""


@dataclass(frozen=True)
class Submission:
    """A request file on its way to a provider, as its newest row says.

    Attributes:
        submission: its name, by which the provider's job is found again.
        round: how often its requests were sent before.
        state: ``intended``: the money is held, and nothing was sent. ``sending``: a call that is paid for is about to
            be made, or was made. ``submitted``: the provider's job is known. ``fetched``, ``failed``, ``expired``: the
            job ended, and its results are received. ``unread``: it ended, and its results cannot be received. ``set
            aside``: it is not sent. ``why`` says why not.
        batch_id: the subject; of questions to a judge, ``<batch>/judge``; of a label plan, ``labels:<name>``.
        usd: estimated, and billed once there are results; rounded up.
        not_before: the provider asked to wait until then.
        entry: of the row; 0 where it is not recorded yet.
    """

    submission: str
    batch_id: str
    decision_run_id: str
    round: int
    file_name: str
    file_sha256: str
    requests: int
    model: str
    api_name: str
    provider: str
    endpoint: str
    state: str
    usd: float
    intended_at: datetime
    recorded_at: datetime
    dagster_run_id: str
    job_id: str | None = None
    not_before: datetime | None = None
    why: str | None = None
    entry: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is under way."""
        return self.state in OPEN

    @property
    def holds_calls(self) -> bool:
        """Whether its requests may be answered already, or yet, so that they are not sent by another file."""
        return self.is_open or self.state == UNREAD

    @property
    def batch(self) -> str:
        """The batch, also of questions to its judge."""
        return self.batch_id.removesuffix(OF_JUDGE)

    @property
    def of_labels(self) -> bool:
        """Whether its requests are of a label plan, not of a batch."""
        return self.batch_id.startswith(OF_LABELS)

    @property
    def of_judge(self) -> bool:
        """Whether its requests are questions to a judge."""
        return self.batch_id.endswith(OF_JUDGE)

    def becomes(self, state: str, now: datetime, run_id: str, **changes: Any) -> Submission:
        """The next row; a wait that was asked for, and a reason, belong to one state only."""
        changes = {"not_before": None, "why": None} | changes
        return replace(self, state=state, recorded_at=now, dagster_run_id=run_id, **changes)


def submissions_of(warehouse: Warehouse, batch_id: str | None = None) -> list[Submission]:
    """The submissions of a batch and of its judge, or of all batches."""
    return [_read(row) for row in warehouse.fetch("submissions", {"batch_id": batch_id})]


def open_submissions(warehouse: Warehouse) -> list[Submission]:
    """Those under way, the oldest change first."""
    return [_read(row) for row in warehouse.fetch("open_submissions")]


def record(warehouse: Warehouse, row: Submission) -> Submission:
    """Append a row."""
    with warehouse.transaction() as connection:
        append_row(connection, row)
    return row


def append_row(connection: duckdb.DuckDBPyConnection, row: Submission) -> None:
    """Append a row within a transaction."""
    values = {name: value for name, value in asdict(row).items() if name != "entry" and value is not None}
    append(connection, "submissions", pa.Table.from_pylist([values]))


def _read(row: dict[str, Any]) -> Submission:
    def plain(value: Any) -> Any:
        return value.astimezone(UTC) if isinstance(value, datetime) else value

    return Submission(**{field.name: plain(row[field.name]) for field in fields(Submission)})
