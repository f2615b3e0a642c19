"""The file of failed runs: one JSON line for each, which a report reads without loading Dagster."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any


def record_failure(path: Path, failure: dict[str, Any]) -> None:
    """Append a failed run, its reason and the time, unless the file names the run already."""
    if any(known["run_id"] == failure["run_id"] for known in _read(path)):
        return
    line = {**failure, "failed_at": datetime.now(UTC).isoformat(timespec="seconds")}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def failures_on(path: Path, day: date) -> list[dict[str, Any]]:
    """Run, job, batch and reason of the runs that failed on a day (UTC); earlier versions wrote no times."""
    return [
        {"run": row["run_id"][:8], "job": row["job"], "batch": row["batch_id"], "reason": row["reason"]}
        for row in _read(path)
        if row.get("failed_at", "").startswith(f"{day}")
    ]


def _read(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]
