"""Routed batches as files: for the LLM runners, and for the user who asked for one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from routing_assets.coalescing import SEPARATOR
from routing_assets.datasets.batch import set_aside_of
from routing_assets.datasets.set_aside import records_set_aside
from routing_assets.errors import InvalidInput
from routing_assets.files import atomic_path
from routing_assets.handoff import Manifest, hand_off, json_text, original_requests
from routing_assets.journal import Head
from routing_assets.outbox import SET_ASIDE, SOURCES, next_decision

HANDED_OVER = ("instruction_id", "instruction", "model", "expected_success", "cost")


def export_batch(
    routed: pa.Table,
    instructions: pa.Table,
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

    Of a batch that small files became together, ``by_source_file/<file>.jsonl`` holds each file's own part, with the
    ids that the file gave.

    Args:
        staged: where the files are written before they are seen in ``folder``.
        run_id: the Dagster run that took the decision.
        received: the batch as it came; requests of an OpenAI Batch file keep their parameters.
        ledger_head: the newest entry of the journal, which the manifest anchors.
    """
    with next_decision(folder, staged) as new:
        tables = [new / "routed.parquet", new / "routed.jsonl"]
        for path in tables:
            write_routed(routed, instructions, path)
        tables += write_set_aside(instructions, received, new / SET_ASIDE)
        if "source_file" in instructions.column_names:
            _write_by_source(routed, instructions, new / SOURCES)
        return hand_off(
            instructions,
            routed,
            new,
            batch_id=batch_id,
            run_id=run_id,
            ledger_head=ledger_head,
            originals=original_requests(received),
            also=tables,
        )


def write_routed(routed: pa.Table, instructions: pa.Table, path: Path) -> None:
    """Write instruction_id, instruction, model, expected_success and cost (estimated USD) as Parquet, CSV or JSONL."""
    _write(routed.append_column("instruction", instructions["instruction"]).select(HANDED_OVER), path)


def write_set_aside(instructions: pa.Table, received: Path, path: Path) -> list[Path]:
    """Write what of a batch's file is not among its instructions; nothing, and no path, where all of it is."""
    path.unlink(missing_ok=True)
    aside = set_aside_of(instructions)
    if not aside:
        return []
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(records_set_aside(received, aside))
    return [path]


def _rounded(table: pa.Table) -> pa.Table:
    """Probabilities to six decimals, for text; costs stay as they are, for their sum is within the budget exactly."""
    i = table.column_names.index("expected_success")
    return table.set_column(i, "expected_success", pc.round(table["expected_success"], 6))


def refuse_unknown_ending(path: Path) -> None:
    """Raise InvalidInput for a file of a kind that is not written."""
    if path.suffix not in _WRITERS:
        raise InvalidInput(f"'{path.name}' has no known ending", remedy="Use .parquet, .csv or .jsonl.")


def _write(table: pa.Table, path: Path) -> None:
    refuse_unknown_ending(path)
    with atomic_path(path) as temporary:
        _WRITERS[path.suffix](table, temporary)


def _write_by_source(routed: pa.Table, instructions: pa.Table, folder: Path) -> None:
    """Ids are ``<id of the file>/<own id>``, the former being a plain name."""
    table = routed.append_column("instruction", instructions["instruction"]).select(HANDED_OVER)
    parts = pc.split_pattern(table["instruction_id"], SEPARATOR, max_splits=1)
    source, own = (pc.list_element(parts, i) for i in (0, 1))
    table = table.set_column(0, "instruction_id", own)
    for name in source.unique().to_pylist():
        _write(table.filter(pc.equal(source, name)), folder / f"{name}.jsonl")


def _write_csv(table: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(_rounded(table).set_column(2, "model", table["model"].cast(pa.string())), path)


def _write_jsonl(table: pa.Table, path: Path) -> None:
    """Only the texts need encoding, the numbers are finite: a million rows are written in seconds."""
    model = {name: json_text(name) for name in table["model"].unique().to_pylist()}
    with path.open("w", encoding="utf-8") as file:
        for part in _rounded(table).to_batches(max_chunksize=10_000):
            rows = zip(*(column.to_pylist() for column in part.columns), strict=True)
            file.writelines(
                f'{{"instruction_id": {json_text(own_id)}, "instruction": {json_text(text)}, "model": {model[name]}, '
                f'"expected_success": {success!r}, "cost": {cost!r}}}\n'
                for own_id, text, name, success, cost in rows
            )


_WRITERS = {".parquet": pq.write_table, ".csv": _write_csv, ".jsonl": _write_jsonl}
