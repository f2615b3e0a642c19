"""Batches that wait for a decision, or whose decision is out of date."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.outbox import MANIFEST
from routing_assets.batches.policy import settings_of_request, standing_policy
from routing_assets.storage.in_force import prices_in_force
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse


@dataclass(frozen=True)
class StaleBatch:
    """A batch that is not dispatched, and whose decision is missing or out of date."""

    batch_id: str
    request: dict[str, Any]
    reasons: tuple[str, ...]
    fingerprint: str
    """What a new decision would be based on; the same fingerprint is asked for only once."""
    refused: str | None = None
    """Why routing with this very fingerprint was refused; None if it was not tried."""


def _handed_run(folder: Path, decided_run: str | None) -> str | None:
    """The run whose files lie in the outbox; the decided one where the runners took the folder away; none where the
    manifest is absent or damaged, so that the batch is handed off again.
    """
    if not folder.exists():
        return decided_run
    manifest = folder / MANIFEST
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))["dagster_run_id"] if manifest.exists() else None
    except (ValueError, KeyError, TypeError):
        return None


def stale_batches(warehouse: Warehouse, store: Store, folders: BatchFolders, policy_file: Path) -> list[StaleBatch]:
    """Batches to be routed (again): without a decision, or file, router, prices or settings changed since.

    So is one whose hand-off was interrupted: its outbox holds no manifest, or that of a run without a decision. Those
    that share a month's money, which may not have sufficed, are asked for again in the next month and whenever a batch
    was withdrawn.
    """
    standing = standing_policy(policy_file)
    price_version, _ = prices_in_force(store)
    stale = []
    for row in warehouse.fetch("open_batches"):
        request = json.loads(row["request"]) if row["request"] else {}
        settings = settings_of_request(request, standing, source=f"the request of batch {row['batch_id']}")
        now = {
            "file": (row["decided_file"], row["file_sha256"]),
            "router": (row["decided_router"], row["router_version"]),
            "prices": (row["decided_prices"], price_version),
            "policy": (row["decided_settings"], settings.version),
            "hand-off": (_handed_run(folders.outbox / row["batch_id"], row["decided_run"]), row["decided_run"]),
        }
        reasons = tuple(name for name, (decided, current) in now.items() if decided != current)
        if reasons and row["router_version"] is not None:
            # With the entry, for after a roll-back the same state is asked for a second time.
            fingerprint = "/".join(str(current)[:16] for _, current in now.values()) + f"#{row['decided_entry'] or 0}"
            if settings.period is not None:
                fingerprint += f"/{datetime.now(UTC):%Y-%m}/{row['last_withdrawal'] or 0}"
            refused = row["refused_why"] if row["refused_fingerprint"] == fingerprint else None
            stale.append(StaleBatch(row["batch_id"], request, reasons, fingerprint, refused))
    return stale
