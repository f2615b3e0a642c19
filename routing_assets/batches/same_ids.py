"""Batches whose instructions have the same ids: a provider's output does not say of which of them it is."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from routing_assets.answers.answer import Answer
from routing_assets.batches.folders import BatchFolders
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import printable

MOST_BATCHES = 200
"""Of the newest in the outbox that are looked at."""
_LOOKED_AT = 20
_CLOCKS_DIFFER_S = 3600.0


def remark_on_same_ids(folders: BatchFolders, batch_id: str, answers: Sequence[Answer], decided_at: float) -> list[str]:
    """Says which other batches the answers fit as well.

    Raises:
        InvalidInput: they were made before this batch was routed.
    """
    names = list({answer.instruction_id for answer in answers[:_LOOKED_AT]})
    others = batches_with(folders, batch_id, names)
    if not others:
        return []
    named = ", ".join(f"'{printable(other)}'" for other in others[:3])
    created = [answer.created for answer in answers if answer.created is not None]
    if created and max(created) < decided_at - _CLOCKS_DIFFER_S:
        raise InvalidInput(
            f"these answers were made before batch '{batch_id}' was routed, and their ids are also those of {named}",
            remedy="Give them to the batch that they are of.",
        )
    return [f"the ids are also those of batch {named}: make sure that this is not its output"]


def batches_with(folders: BatchFolders, batch_id: str, names: Sequence[str]) -> list[str]:
    """Other batches in the outbox that have all of these instructions, newest first."""
    files = [
        path for path in folders.outbox.glob("*/routed.parquet") if path.is_file() and path.parent.name != batch_id
    ]
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST_BATCHES]
    if not newest or not names:
        return []
    with duckdb.connect() as connection:
        wanted = duckdb.ColumnExpression("instruction_id").isin(*map(duckdb.ConstantExpression, names))
        routed = connection.read_parquet([str(path) for path in newest], filename=True).filter(wanted)
        found = dict(routed.aggregate("filename, count(*)").fetchall())
    return [path.parent.name for path in newest if found.get(str(path)) == len(names)]
