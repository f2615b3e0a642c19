"""Writes partitioned tables part by part, in any process; after a kill the parts that are done are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from routing_assets.storage.partitioned import PART_ROWS, PartitionedTable, write_manifest
from routing_assets.storage.parts import PartFile, part_name, write_part
from routing_assets.storage.places import atomic_file, names_in, read_bytes, remove

if TYPE_CHECKING:
    from routing_assets.engine import Engine

NOTES = ".draft"
"""Subfolder of a table's folder, with a note for every finished part. It is removed after the manifest is written."""


@dataclass(frozen=True)
class Draft:
    """A partitioned table that is being written; picklable, so that workers on other machines can write its parts.

    Attributes:
        folder: path or URL of the table.
        schema: of every part.
        work: a key of everything that the rows depend on. Parts that were written with another key are written again.
    """

    folder: str
    schema: pa.Schema
    work: str = ""

    def write_part(self, number: int, table: pa.Table) -> PartFile:
        """Write one part, then note that it is done. Raises ValueError for rows that do not fit the schema."""
        file = write_part(self.folder, part_name(number), table.cast(self.schema))
        with atomic_file(f"{self.folder}/{NOTES}/{number:06d}.json") as temporary:
            temporary.write_text(json.dumps({"work": self.work, "part": asdict(file)}))
        return file

    def done(self) -> dict[int, PartFile]:
        """The parts that were written with this ``work`` and still have the noted size and SHA-256, by number."""
        done = {}
        for name in names_in(f"{self.folder}/{NOTES}"):
            note = json.loads(read_bytes(f"{self.folder}/{NOTES}/{name}"))
            file = PartFile(**note["part"])
            if note["work"] == self.work and file.is_intact_in(self.folder):
                done[int(name.removesuffix(".json"))] = file
        return done

    def finish(self, files: Sequence[PartFile], about: Mapping[str, str] | None = None) -> PartitionedTable:
        """Write the manifest of these parts, in this order; remove the notes and all other parts.

        Args:
            about: further metadata of the table, known only when all of its parts are.
        """
        table = write_manifest(self.folder, with_metadata(self.schema, about or {}), files)
        remove_unlisted_files(table)
        return table


def with_metadata(schema: pa.Schema, more: Mapping[str, str]) -> pa.Schema:
    """The schema with more metadata."""
    added = {name.encode(): value.encode() for name, value in more.items()}
    return schema.with_metadata({**(schema.metadata or {}), **added}) if added else schema


def make_parts(
    engine: Engine, function: Callable[..., pa.Table], parts: Sequence[Any], draft: Draft, *arguments: Any
) -> PartitionedTable:
    """Write the table whose part i has the rows of ``function(parts[i], *arguments)``; the workers write the parts.

    Parts that an interrupted call wrote with the same ``draft.work`` are kept.
    """
    done = draft.done()
    missing = [number for number in range(len(parts)) if number not in done]
    made = engine.map(_make_part, [(number, parts[number]) for number in missing], function, draft, *arguments)
    done |= zip(missing, made, strict=True)
    return draft.finish([done[number] for number in range(len(parts))])


def _make_part(numbered: tuple[int, Any], function: Callable[..., pa.Table], draft: Draft, *arguments: Any) -> PartFile:
    number, part = numbered
    return draft.write_part(number, function(part, *arguments))


def write_table(
    draft: Draft, rows: Iterable[pa.RecordBatch | pa.Table], *, part_rows: int = PART_ROWS
) -> PartitionedTable:
    """Write rows from portions of any size as parts of ``part_rows`` rows; the last part has the rest.

    At most one part and one portion are in memory. A table without rows has one empty part.
    """
    files = [draft.write_part(number, part) for number, part in enumerate(cut(rows, part_rows))]
    return draft.finish(files or [draft.write_part(0, draft.schema.empty_table())])


def keep_rows(table: PartitionedTable, kept: Callable[[list[str]], np.ndarray]) -> int:
    """Delete the rows that ``kept`` does not select; returns their number.

    A part that loses rows is written under a new name, and the manifest then replaces the old table in one step. Old
    parts are removed last, with those that an interrupted call left.

    Args:
        kept: from N instruction ids to an (N,) bool array, True for the rows to keep.
    """
    files, removed = [], 0
    for part in table.parts:
        file = part.file
        rows = kept(part.read(["instruction_id"])["instruction_id"].to_pylist())
        if not rows.all():
            name = part_name(part.number).replace(".", f"-{uuid4().hex[:8]}.")
            file = write_part(table.folder, name, part.read().filter(rows))
            removed += part.rows - file.rows
        files.append(file)
    remove_unlisted_files(write_manifest(table.folder, table.schema, files) if removed else table)
    return removed


def remove_unlisted_files(table: PartitionedTable) -> None:
    """Remove the notes and the parts that the table's manifest does not list."""
    named = {part.path for part in table.parts}
    for name in names_in(table.folder):
        if name.startswith("part-") and f"{table.folder}/{name}" not in named:
            remove(f"{table.folder}/{name}")
    remove(f"{table.folder}/{NOTES}")


def cut(portions: Iterable[pa.RecordBatch | pa.Table], rows: int) -> Iterator[pa.Table]:
    """Rows from portions of any size, as tables of ``rows`` rows; the last has the rest, and none is empty."""
    waiting: list[pa.Table] = []
    count = 0
    for portion in portions:
        table = portion if isinstance(portion, pa.Table) else pa.Table.from_batches([portion])
        start = 0
        while count + table.num_rows - start >= rows:
            head = table.slice(start, rows - count)
            yield pa.concat_tables([*waiting, head])
            start, waiting, count = start + head.num_rows, [], 0
        if start < table.num_rows:
            waiting.append(table.slice(start))
            count += table.num_rows - start
    if waiting:
        yield pa.concat_tables(waiting)
