"""Folders of part files, as Spark, Hive and others write them: joined into one file, in the order of their names.

Names that begin with a dot or an underscore, such as ``_SUCCESS``, are no parts. Folders named ``key=value`` give their
rows a column ``key``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.datasets.containers import is_other_than_utf8, write_as_utf8
from routing_assets.datasets.file_faults import no_rows
from routing_assets.datasets.reading import MOST_BYTES, is_json_lines, json_lines, open_tables, read_json_lines
from routing_assets.foundation.errors import InvalidInput
from routing_assets.providers.lines import is_request

_NULL = "__HIVE_DEFAULT_PARTITION__"
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Part:
    """A part file.

    Attributes:
        columns: what the names of its folders say.
        rows: how many records it has.
        first_row: the row number of its first record.
    """

    path: Path
    columns: Mapping[str, str | None]
    rows: int = 0
    first_row: int = 1


@dataclass(frozen=True)
class JoinedParts:
    """The one file that part files became, and the parts in its order."""

    path: Path
    parts: tuple[Part, ...]

    @property
    def remark(self) -> str:
        """What was joined, in words."""
        columns = list(dict.fromkeys(name for part in self.parts for name in part.columns))
        named = f", with the columns {', '.join(columns)} of their folders" if columns else ""
        return f"{len(self.parts)} part files{named}"

    def located(self, error: InvalidInput) -> InvalidInput:
        """The same error, at the row of the part."""
        before = 0
        for part in self.parts:
            if isinstance(error.row, int) and before < error.row <= before + part.rows:
                return error.at(str(part.path), error.row - before - 1 + part.first_row)
            before += part.rows
        return error


def join_parts(folder: Path, stem: Path) -> JoinedParts:
    """Write the records of all part files of a folder into one: JSON Lines where they are JSON, else Parquet.

    Args:
        stem: where to, without the ending.

    Raises:
        InvalidInput: there are no parts, or no rows in them; they are of several kinds, do not fit each other or cannot
            be read; or the folder is a table whose log says which of its files count.
    """
    parts = _parts(folder)
    kinds = {is_json_lines(part.path) for part in parts}
    if len(kinds) > 1:
        raise InvalidInput(
            "some of the files are JSON and others are tables", source=str(folder), remedy="Give a folder of one kind"
        )
    joined = _join_json(parts, stem) if kinds == {True} else _join_tables(parts, stem)
    if not joined.parts:
        raise no_rows(str(folder))
    return joined


@contextmanager
def one_file(path: Path, encoding: str | None = None) -> Iterator[Path]:
    """The file itself; of a folder, the file that its parts become, and of a text in another encoding one in UTF-8, for
    as long as the block runs. What is wrong with it is said of ``path``.
    """
    if path.is_dir():
        with TemporaryDirectory() as folder:
            yield join_parts(path, Path(folder) / path.name).path
    elif encoding is not None and path.is_file() and is_other_than_utf8(path, MOST_BYTES):
        with TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            write_as_utf8(path, encoding, copy, MOST_BYTES)
            try:
                yield copy
            except InvalidInput as error:
                raise (error.of(str(path)) if error.source == str(copy) else error) from error
    else:
        yield path


def _parts(folder: Path) -> list[Part]:
    if (folder / "_delta_log").is_dir() or ((folder / "metadata").is_dir() and (folder / "data").is_dir()):
        raise InvalidInput(
            "this is a Delta or Iceberg table, in which some files no longer count",
            source=str(folder),
            remedy="Export its rows as Parquet",
        )
    if (folder / "_temporary").is_dir():
        raise InvalidInput(
            "the job that writes this folder has not finished", source=str(folder), remedy="Wait for its _SUCCESS"
        )
    parts = []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder).parts
        if not any(name.startswith((".", "_")) for name in inner) and path.is_file() and path.stat().st_size:
            pairs = (name.split("=", 1) for name in inner[:-1] if "=" in name)
            parts.append(Part(path, {unquote(key): None if at == _NULL else unquote(at) for key, at in pairs}))
    if not parts:
        raise InvalidInput("the folder has no part files", source=str(folder), remedy="Give a folder of data files")
    return parts


def _join_json(parts: list[Part], stem: Path) -> JoinedParts:
    target, joined = stem.with_name(f"{stem.name}.jsonl"), []
    with target.open("wb") as file:
        for part in parts:
            rows = 0
            for line in _lines(part):
                file.write(line.strip() + b"\n")
                rows += 1
            joined.append(Part(part.path, part.columns, rows))
    return JoinedParts(target, tuple(joined))


def _lines(part: Part) -> Iterator[bytes]:
    if not part.columns:
        yield from json_lines(part.path)
        return
    for record in read_json_lines(part.path):
        yield json.dumps(record if is_request(record) else {**part.columns, **record}).encode()


def _join_tables(parts: list[Part], stem: Path) -> JoinedParts:
    target, joined = stem.with_name(f"{stem.name}.parquet"), []
    schemas = {part.path: schema for part in parts if (schema := _schema(part)) is not None}
    if not schemas:
        return JoinedParts(target, ())
    schema = _common(schemas)
    with pq.ParquetWriter(target, schema) as writer:
        for part in parts:
            rows, first_row = 0, 1
            if part.path in schemas:
                file, first_row = open_tables(part.path)
                for table in file.tables(_ROWS_AT_ONCE):
                    writer.write_table(_fitted(table, part, schema))
                    rows += len(table)
                joined.append(Part(part.path, part.columns, rows, first_row))
    return JoinedParts(target, tuple(joined))


def _schema(part: Part) -> pa.Schema | None:
    """The columns of a part and of its folders' names; None where it has no rows."""
    first = next(open_tables(part.path)[0].tables(1), None)
    return None if first is None else _with_columns(first, part).schema.remove_metadata()


def _with_columns(table: pa.Table, part: Part) -> pa.Table:
    for name, value in part.columns.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value] * len(table), pa.string()))
    return table


def _fitted(table: pa.Table, part: Part, schema: pa.Schema) -> pa.Table:
    table = _with_columns(table, part)
    present = set(table.column_names)
    columns = [table[f.name].cast(f.type) if f.name in present else pa.nulls(len(table), f.type) for f in schema]
    return pa.table(columns, schema=schema)


def _common(schemas: Mapping[Path, pa.Schema]) -> pa.Schema:
    common = None
    for path, schema in schemas.items():
        try:
            common = schema if common is None else pa.unify_schemas([common, schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InvalidInput(
                f"its columns do not fit those of the parts before it ({error})",
                source=str(path),
                remedy="Give each column one type in all parts",
            ) from error
    return common
