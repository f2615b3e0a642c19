"""Submissions as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from routing_assets.batches.submissions.ledger import Submission

SCHEMA = pa.schema(
    [
        ("batch", pa.string()),
        ("file", pa.string()),
        ("provider", pa.string()),
        ("model", pa.string()),
        ("round", pa.int64()),
        ("requests", pa.int64()),
        ("state", pa.string()),
        ("usd", pa.float64()),
        ("job", pa.string()),
        ("since", pa.string()),
        ("why", pa.string()),
    ]
)
"""``usd`` is estimated, and billed once there are results; ``since`` is when the state began (UTC)."""


def overview(submissions: Iterable[Submission]) -> list[dict[str, Any]]:
    """A row of ``SCHEMA`` for each submission."""
    return [
        {
            "batch": of.batch_id,
            "file": of.file_name,
            "provider": of.provider,
            "model": of.model,
            "round": of.round,
            "requests": of.requests,
            "state": of.state,
            "usd": of.usd,
            "job": of.job_id or "",
            "since": f"{of.recorded_at:%Y-%m-%d %H:%M}",
            "why": of.why or "",
        }
        for of in submissions
    ]
