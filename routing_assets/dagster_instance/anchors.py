"""Anchors in Dagster's log: each hand-off's materialisation says what the head of the journal was."""

from __future__ import annotations

from typing import Any

import dagster as dg

from routing_assets.storage.journal import Head

ASSET = dg.AssetKey("batch_export")
NEWEST = 100
"""Materialisations that are read; the chain vouches for what comes before them."""


def materialised_anchor(head: Head | None) -> dict[str, Any]:
    """Metadata that anchors ``head``."""
    return {"ledger_entry": head.entry, "ledger_hash": head.entry_hash} if head else {}


def materialised_heads(instance: dg.DagsterInstance) -> list[Head]:
    """The heads in the newest hand-offs' materialisations; those of earlier versions have none."""
    records = instance.fetch_materializations(ASSET, limit=NEWEST).records
    heads = []
    for record in records:
        about = record.asset_materialization.metadata if record.asset_materialization else {}
        if "ledger_entry" in about:
            heads.append(Head(int(str(about["ledger_entry"].value)), str(about["ledger_hash"].value)))
    return heads
