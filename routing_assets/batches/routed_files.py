"""The routed table of a batch, with its texts, as files for its user: written block by block, never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from routing_assets.batches.join_small_files import SEPARATOR
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import atomic_path, sync
from routing_assets.foundation.json_text import json_text
from routing_assets.storage.blocks import AnyTable, blocks

HANDED_OVER = ("instruction_id", "instruction", "model", "expected_success", "cost")
_CHOSEN = ("instruction_id", "model", "expected_success", "cost")
_ROWS_AT_ONCE = 10_000
"""Rows that are Python objects at a time."""
Write = Callable[[pa.Table], None]


def routed_blocks(routed: AnyTable, instructions: AnyTable) -> Iterator[pa.Table]:
    """The columns ``HANDED_OVER`` in batch order, 131,072 rows at a time, however the two tables are cut.

    Raises:
        InvalidInput: the tables are not of the same instructions in the same order.
    """
    schema, first_row = schema_of(routed, instructions), 0
    chosen = blocks(routed, _CHOSEN)
    texts = blocks(instructions, HANDED_OVER[:2])
    for block, beside in zip_longest(chosen, texts, fillvalue=pa.table({"instruction_id": pa.array([], pa.string())})):
        _require_same(block["instruction_id"], beside["instruction_id"], first_row)
        first_row += block.num_rows
        joined = block.append_column("instruction", beside["instruction"]).select(HANDED_OVER)
        yield joined.unify_dictionaries().combine_chunks().cast(schema)


def schema_of(routed: AnyTable, instructions: AnyTable) -> pa.Schema:
    """The schema of :func:`routed_blocks`, with all that the routed table says of itself."""
    fields = {name: routed.schema.field(name) for name in _CHOSEN}
    fields["instruction"] = pa.field("instruction", instructions.schema.field("instruction").type)
    return pa.schema([fields[name] for name in HANDED_OVER], metadata=routed.schema.metadata)


def write_routed(routed: AnyTable, instructions: AnyTable, *paths: Path) -> None:
    """Write the routed table as Parquet, CSV or JSONL, by the ending of each path. Each file is whole or absent."""
    with ExitStack() as files:
        writers = [files.enter_context(_writer(path, schema_of(routed, instructions))) for path in paths]
        for block in routed_blocks(routed, instructions):
            for write in writers:
                write(block)


def write_by_source(routed: AnyTable, instructions: AnyTable, folder: Path) -> None:
    """Write ``<file>.jsonl`` for each file that a joined batch came from, with the ids that the file gave.

    Ids are ``<id of the file>/<own id>``, the former being a plain name.
    """
    folder.mkdir()
    for block in routed_blocks(routed, instructions):
        ids = pc.split_pattern(block["instruction_id"], SEPARATOR, max_splits=1)
        source, own = (pc.list_element(ids, i) for i in (0, 1))
        table = block.set_column(0, "instruction_id", own)
        for name in source.unique().to_pylist():
            with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
                _write_lines(table.filter(pc.equal(source, name)), file)
    for path in folder.iterdir():
        sync(path)


def refuse_unknown_ending(path: Path) -> None:
    """Raise InvalidInput for a file of a kind that is not written."""
    if path.suffix not in _WRITERS:
        raise InvalidInput(f"'{path.name}' has no known ending", remedy="Use .parquet, .csv or .jsonl.")


def _require_same(routed: pa.ChunkedArray, instructions: pa.ChunkedArray, first_row: int) -> None:
    if routed.equals(instructions):
        return
    pairs = zip_longest(routed.to_pylist(), instructions.to_pylist())
    row, (one, other) = next((row, pair) for row, pair in enumerate(pairs, first_row + 1) if pair[0] != pair[1])
    raise InvalidInput(
        f"the routed table has {_named(one)} where the batch has {_named(other)}",
        row=row,
        column="instruction_id",
        remedy="Give the instructions of the batch that was routed, in its order",
    )


def _named(instruction_id: str | None) -> str:
    return "no instruction" if instruction_id is None else f"instruction {instruction_id!r}"


@contextmanager
def _writer(path: Path, schema: pa.Schema) -> Iterator[Write]:
    refuse_unknown_ending(path)
    with atomic_path(path) as temporary, _WRITERS[path.suffix](temporary, schema) as write:
        yield write


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(path, schema) as file:
        yield file.write_table


@contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[Write]:
    text = schema.set(schema.get_field_index("model"), pa.field("model", pa.string()))
    with pyarrow.csv.CSVWriter(path, text) as file:
        yield lambda block: file.write_table(_rounded(block).cast(text))


@contextmanager
def _json_lines(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda block: _write_lines(block, file)


def _write_lines(table: pa.Table, file: TextIO) -> None:
    """Only the texts need encoding, the numbers are finite: a million rows are written in seconds."""
    model = {name: json_text(name) for name in table["model"].unique().to_pylist()}
    for part in _rounded(table).to_batches(max_chunksize=_ROWS_AT_ONCE):
        rows = zip(*(column.to_pylist() for column in part.columns), strict=True)
        file.writelines(
            f'{{"instruction_id": {json_text(own_id)}, "instruction": {json_text(text)}, "model": {model[name]}, '
            f'"expected_success": {success!r}, "cost": {cost!r}}}\n'
            for own_id, text, name, success, cost in rows
        )


def _rounded(table: pa.Table) -> pa.Table:
    """Probabilities to six decimals, for text; costs stay as they are, for their sum is within the budget exactly."""
    i = table.column_names.index("expected_success")
    return table.set_column(i, "expected_success", pc.round(table["expected_success"], 6))


_WRITERS: dict[str, Callable[[Path, pa.Schema], AbstractContextManager[Write]]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _json_lines,
}
