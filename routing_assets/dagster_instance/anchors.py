"""Anchors of the journal in Dagster's event log: each hand-off's materialisation records the journal's head."""

from __future__ import annotations

from typing import Any

import dagster as dg

from routing_assets.storage.journal import Head

ASSET = dg.AssetKey("batch_export")
NEWEST = 100
"""How many materialisations are read; older entries are covered by the hash chain that leads to these."""


def materialised_anchor(head: Head | None) -> dict[str, Any]:
    """Metadata of a materialisation that records ``head``."""
    return {"ledger_entry": head.entry, "ledger_hash": head.entry_hash} if head else {}


def materialised_heads(instance: dg.DagsterInstance) -> list[Head]:
    """The heads recorded by the newest hand-offs; hand-offs of earlier versions recorded none."""
    records = instance.fetch_materializations(ASSET, limit=NEWEST).records
    heads = []
    for record in records:
        about = record.asset_materialization.metadata if record.asset_materialization else {}
        if "ledger_entry" in about:
            heads.append(Head(int(str(about["ledger_entry"].value)), str(about["ledger_hash"].value)))
    return heads
