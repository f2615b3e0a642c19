"""Hand-off of a routed batch to the LLM runners: OpenAI Batch JSONL per model and endpoint, under one manifest with
hashes.

Every request file goes to one model's runner as it is. The routed batch is written as one table for its user, too. The
manifest is written last; a folder without one, or whose files do not fit it, is not complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from routing_assets.batches.outbox import MANIFEST, SET_ASIDE, SOURCES, next_decision
from routing_assets.batches.request_files import (
    HandedFile,
    RequestFiles,
    handed,
    original_requests,
    require_no_more,
)
from routing_assets.batches.routed_files import routed_blocks, write_by_source, write_routed
from routing_assets.datasets.batch import set_aside_of
from routing_assets.datasets.reading import require_file
from routing_assets.datasets.set_aside import records_set_aside
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import atomic_path, file_sha256
from routing_assets.foundation.long_table import about
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_from_rows
from routing_assets.storage.blocks import AnyTable
from routing_assets.storage.journal import Head


@dataclass(frozen=True)
class Manifest:
    """What was handed off; estimates are those of the decision."""

    batch_id: str
    rows: int
    cost_usd: float
    expected_successes: float
    files: tuple[HandedFile, ...]
    dagster_run_id: str | None = None
    """The run whose decision these files are."""
    ledger_entry: int | None = None
    """The newest entry of the journal when the files were written: an anchor outside the database."""
    ledger_hash: str | None = None

    def of(self, model: str) -> tuple[HandedFile, ...]:
        """The request files of one model."""
        return tuple(file for file in self.files if file.model == model)


def hand_off(
    instructions: AnyTable,
    routed: AnyTable,
    folder: Path,
    *,
    batch_id: str,
    run_id: str | None = None,
    ledger_head: Head | None = None,
    originals: Iterable[str] | None = None,
    also: Sequence[Path] = (),
    requests_per_file: int | None = None,
    bytes_per_file: int | None = None,
) -> Manifest:
    """Write one or more request files per model and endpoint, then ``manifest.json``, into a new ``folder``.

    The manifest names the model and endpoint of each file. A file is complete or absent. The rows are read once, in
    blocks.

    Args:
        instructions: ``instruction_id, instruction``.
        routed: ``instruction_id, model, expected_success, cost`` (estimated USD), in the same order.
        run_id: the Dagster run that took the decision.
        ledger_head: the newest entry of the journal, which the manifest anchors.
        originals: the requests that the batch came as, in its order, see :func:`original_requests`: they keep their
            url, system messages and parameters, and only their model is set.
        also: other files of ``folder`` to list in the manifest, such as the routed table.
        requests_per_file, bytes_per_file: what is beyond these, and beyond the provider's limits, goes into a further
            file.

    Raises:
        InvalidInput: the tables are not of the same instructions, or the original requests are not theirs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requests = RequestFiles(folder, _catalog_of(routed), requests_per_file, bytes_per_file)
    lines = None if originals is None else iter(originals)
    rows, usd, successes = 0, 0.0, 0.0
    try:
        for block in routed_blocks(routed, instructions):
            requests.write(block, lines)
            rows += block.num_rows
            usd += float(block["cost"].to_numpy().astype(np.float64).sum())
            successes += float(block["expected_success"].to_numpy().sum(dtype=np.float64))
        require_no_more(lines)
        files = [*requests.finish(), *(handed(path) for path in also)]
    finally:
        requests.discard()
    anchor = (None, None) if ledger_head is None else (ledger_head.entry, ledger_head.entry_hash)
    manifest = Manifest(batch_id, rows, usd, successes, tuple(files), run_id, *anchor)
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _catalog_of(routed: AnyTable) -> ModelCatalog | None:
    """The catalog of the decision."""
    summary = json.loads(about(routed).get("summary", "{}"))
    return catalog_from_rows(summary.get("catalog", []))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a hand-off, every file it lists checked against its hash.

    Raises:
        InvalidInput: the manifest is absent or malformed, names something that is not a file of ``folder``, or a file
            is missing or was changed.
    """
    path = folder / MANIFEST
    require_file(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        manifest = Manifest(**values | {"files": tuple(HandedFile(**file) for file in values["files"])})
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"this is not a hand-off manifest ({error})", source=str(path), remedy="Export the batch again"
        ) from error
    for file in manifest.files:
        if Path(file.name).name != file.name or file.name in ("", ".", ".."):
            raise InvalidInput(f"{file.name!r} is not the name of a file in this folder", source=str(path))
        require_file(folder / file.name)
        if file_sha256(folder / file.name) != file.sha256:
            raise InvalidInput(
                "the file is not the one that was handed off",
                source=str(folder / file.name),
                remedy="Export the batch again, or restore the file",
            )
    return manifest


def export_batch(
    routed: AnyTable,
    instructions: AnyTable,
    folder: Path,
    *,
    staged: Path,
    batch_id: str,
    run_id: str,
    received: Path,
    ledger_head: Head | None = None,
) -> Manifest:
    """Write the routed table, the requests of each model and endpoint, and the manifest that lists them, into
    ``folder``, in place of an earlier decision, see :func:`next_decision`.

    For a batch that was joined from small files, ``by_source_file/<file>.jsonl`` holds each file's own part, with the
    ids that the file gave.

    Args:
        staged: where the files are written before they are seen in ``folder``.
        run_id: the Dagster run that took the decision.
        received: the batch as it came; requests of an OpenAI Batch file keep their parameters.
        ledger_head: the newest entry of the journal, which the manifest anchors.
    """
    with next_decision(folder, staged) as new:
        tables = [new / "routed.parquet", new / "routed.jsonl"]
        write_routed(routed, instructions, *tables)
        tables += write_set_aside(instructions, received, new / SET_ASIDE)
        if "source_file" in instructions.schema.names:
            write_by_source(routed, instructions, new / SOURCES)
        return hand_off(
            instructions,
            routed,
            new,
            batch_id=batch_id,
            run_id=run_id,
            ledger_head=ledger_head,
            originals=original_requests(received, set_aside_of(instructions)),
            also=tables,
        )


def write_set_aside(instructions: AnyTable, received: Path, path: Path) -> list[Path]:
    """Write the records of a batch's file that are not routed; nothing, and no path, where all of them are."""
    path.unlink(missing_ok=True)
    aside = set_aside_of(instructions)
    if not aside:
        return []
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(records_set_aside(received, aside))
    return [path]
