"""Routed batches as files: for the LLM runners, and for the user who asked for one."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from routing_assets.errors import InvalidInput
from routing_assets.files import atomic_path
from routing_assets.handoff import Manifest, hand_off, original_requests

HANDED_OVER = ("instruction_id", "instruction", "model", "expected_success", "cost")


def export_batch(routed: pa.Table, instructions: pa.Table, folder: Path, *, batch_id: str, received: Path) -> Manifest:
    """Write the routed table and one file of requests per model into ``folder``, then the manifest that lists them.

    Args:
        received: the batch as it came; requests of an OpenAI Batch file keep their parameters.
    """
    tables = [folder / "routed.parquet", folder / "routed.jsonl"]
    for path in tables:
        write_routed(routed, instructions, path)
    return hand_off(instructions, routed, folder, batch_id=batch_id, originals=original_requests(received), also=tables)


def write_routed(routed: pa.Table, instructions: pa.Table, path: Path) -> None:
    """Write instruction_id, instruction, model, expected_success and cost (estimated USD) as Parquet, CSV or JSONL."""
    table = routed.append_column("instruction", instructions["instruction"]).select(HANDED_OVER)
    writers = {".parquet": pq.write_table, ".csv": _write_csv, ".jsonl": _write_jsonl}
    if path.suffix not in writers:
        raise InvalidInput(f"'{path.name}' has no known ending", remedy="Use .parquet, .csv or .jsonl.")
    with atomic_path(path) as temporary:
        writers[path.suffix](table, temporary)


def _write_csv(table: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(table.set_column(2, "model", table["model"].cast(pa.string())), path)


def _write_jsonl(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for part in table.to_batches(max_chunksize=10_000):
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in part.to_pylist())
