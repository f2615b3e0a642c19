"""Writing partitioned tables: part by part, by whoever, and on from where a killed process was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from routing_assets.engine import Engine
from routing_assets.storage.partitioned import PART_ROWS, PartitionedTable, write_manifest
from routing_assets.storage.parts import PartFile, part_name, write_part
from routing_assets.storage.places import names_in, read_bytes, remove, written

NOTES = ".draft"
"""Folder within a table's folder: a note for every part that is done, until the manifest is written."""


@dataclass(frozen=True)
class Draft:
    """A partitioned table that is being written; picklable, so that workers elsewhere can write its parts.

    Attributes:
        folder: path or URL of the table.
        schema: that every part gets.
        work: names everything that the rows depend on. Parts that were written for other work are written again.
    """

    folder: str
    schema: pa.Schema
    work: str = ""

    def write_part(self, number: int, table: pa.Table) -> PartFile:
        """Write one part, then note that it is done. Raises ValueError for rows that do not fit the schema."""
        file = write_part(self.folder, part_name(number), table.cast(self.schema))
        with written(f"{self.folder}/{NOTES}/{number:06d}.json") as temporary:
            temporary.write_text(json.dumps({"work": self.work, "part": asdict(file)}))
        return file

    def done(self) -> dict[int, PartFile]:
        """By number: the parts that were written for this very work, and have the size and SHA-256 they were noted
        with.
        """
        done = {}
        for name in names_in(f"{self.folder}/{NOTES}"):
            note = json.loads(read_bytes(f"{self.folder}/{NOTES}/{name}"))
            file = PartFile(**note["part"])
            if note["work"] == self.work and file.is_whole_in(self.folder):
                done[int(name.removesuffix(".json"))] = file
        return done

    def finish(self, files: Sequence[PartFile], about: Mapping[str, str] | None = None) -> PartitionedTable:
        """Write the manifest over these parts, in this order. The notes, and parts beyond these, are removed.

        Args:
            about: what the table says of itself beside the metadata of its schema, known only when all parts are.
        """
        table = write_manifest(self.folder, with_metadata(self.schema, about or {}), files)
        remove_what_is_of_no_table(table)
        return table


def with_metadata(schema: pa.Schema, more: Mapping[str, str]) -> pa.Schema:
    """The schema with more metadata."""
    added = {name.encode(): value.encode() for name, value in more.items()}
    return schema.with_metadata({**(schema.metadata or {}), **added}) if added else schema


def make_parts(
    engine: Engine, function: Callable[..., pa.Table], parts: Sequence[Any], draft: Draft, *arguments: Any
) -> PartitionedTable:
    """Write the table whose part i holds the rows of ``function(parts[i], *arguments)``; each worker writes its own.

    Parts that an interrupted call wrote for the same work are kept.
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
    """Write rows that come in any portions as parts of ``part_rows`` rows; the last part has what is left.

    No more than a part and a portion are held at a time. A table without rows has one empty part.
    """
    files = [draft.write_part(number, part) for number, part in enumerate(cut(rows, part_rows))]
    return draft.finish(files or [draft.write_part(0, draft.schema.empty_table())])


def keep_rows(table: PartitionedTable, kept: Callable[[list[str]], np.ndarray]) -> int:
    """Rewrite a table without the other rows; returns how many it lost.

    Parts that lose rows are written under new names, so that the table is either the old one or the new one; then the
    old ones are removed, and those that an interrupted call left.

    Args:
        kept: from instruction ids (N) to the rows that stay, (N,) True.
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
    remove_what_is_of_no_table(write_manifest(table.folder, table.schema, files) if removed else table)
    return removed


def remove_what_is_of_no_table(table: PartitionedTable) -> None:
    """Remove the files in a table's folder that its manifest does not name."""
    named = {part.path for part in table.parts}
    for name in names_in(table.folder):
        if name.startswith("part-") and f"{table.folder}/{name}" not in named:
            remove(f"{table.folder}/{name}")
    remove(f"{table.folder}/{NOTES}")


def cut(portions: Iterable[pa.RecordBatch | pa.Table], rows: int) -> Iterator[pa.Table]:
    """Rows that come in any portions, as tables of ``rows`` rows; the last has what is left, and none is empty."""
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
