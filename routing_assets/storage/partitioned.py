"""Partitioned tables: a folder with ``part-NNNNNN.parquet`` files and a ``manifest.json``, which is written last.

A folder without a manifest is not a table yet. The folder may be on this machine or in an object store. The table never
has to fit into memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from routing_assets.foundation.errors import InvalidInput
from routing_assets.storage.parts import BATCH_ROWS, MAKE_AGAIN, Part, PartFile
from routing_assets.storage.places import atomic_file, exists, filesystem_of, read_bytes, size_and_sha256

if TYPE_CHECKING:  # DuckDB loads with the warehouse, not with tables in memory
    import duckdb

MANIFEST = "manifest.json"
PART_ROWS = 131_072
_FORMAT = 1


@dataclass(frozen=True)
class PartitionedTable:
    """A reference to a table in parts: the content of its manifest, without the rows.

    Attributes:
        folder: path or URL.
        schema: of every part. Its metadata are the table's; a part may carry fewer.
        parts: in row order; at least one, which may be empty.
        data_version: twelve hex digits over the hashes of the parts; equal parts have equal versions.
    """

    folder: str
    schema: pa.Schema
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows of the whole table."""
        return sum(part.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes for part in self.parts)

    @property
    def data_version(self) -> str:
        return data_version_of([part.sha256 for part in self.parts])

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole table, in memory, with all columns or the named ones."""
        rows = pa.concat_tables([part.read(columns) for part in self.parts])
        return rows.replace_schema_metadata(self.schema.metadata)

    def batches(self, columns: Sequence[str] | None = None, *, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most ``rows`` at a time."""
        for part in self.parts:
            yield from part.batches(columns, rows=rows)

    def relation(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        """The table for queries on this connection. DuckDB does not check the hashes; call ``verify`` for that."""
        filesystem, _ = filesystem_of(self.folder)
        protocol = filesystem.protocol if isinstance(filesystem.protocol, str) else filesystem.protocol[0]
        if not isinstance(filesystem, LocalFileSystem) and not connection.filesystem_is_registered(protocol):
            connection.register_filesystem(filesystem)
        return connection.read_parquet([part.path for part in self.parts])

    def where(self, column: str, value: str) -> list[dict[str, Any]]:
        """The rows whose ``column`` has this value."""
        import duckdb

        with duckdb.connect() as connection:
            condition = duckdb.ColumnExpression(column) == duckdb.ConstantExpression(value)
            return self.relation(connection).filter(condition).to_arrow_table().to_pylist()

    def verify(self) -> None:
        """Read every byte. Raises InvalidInput for the first part that is missing or damaged."""
        for part in self.parts:
            part.verify()


def is_partitioned(folder: str) -> bool:
    """Whether there is a finished table in the folder."""
    return exists(f"{folder}/{MANIFEST}")


def open_partitioned(folder: str) -> PartitionedTable:
    """The table in a folder, by its manifest.

    Raises:
        InvalidInput: there is no manifest, or it is damaged. Parts are checked only when they are read.
    """
    source = f"{folder}/{MANIFEST}"
    try:
        manifest = json.loads(read_bytes(source))
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(manifest["schema"])))
        files = [PartFile(**file) for file in manifest["parts"]]
        known, expected = manifest["format"], (manifest["rows"], manifest["data_version"])
    except FileNotFoundError as error:
        raise InvalidInput("there is no such table, or it was not finished", source=source) from error
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise InvalidInput("the manifest is damaged", source=source, remedy=MAKE_AGAIN) from error
    if known != _FORMAT:
        raise InvalidInput(f"the manifest has format {known!r}, but this version reads format {_FORMAT}", source=source)
    table = PartitionedTable(folder, schema, _parts(folder, files))
    if (table.rows, table.data_version) != expected:
        raise InvalidInput("the manifest's totals do not match its parts", source=source, remedy=MAKE_AGAIN)
    return table


def write_manifest(folder: str, schema: pa.Schema, files: Sequence[PartFile]) -> PartitionedTable:
    """Write the manifest of these parts, in this order. From then on the folder can be read as a table."""
    table = PartitionedTable(folder, schema, _parts(folder, files))
    manifest = {
        "format": _FORMAT,
        "rows": table.rows,
        "data_version": table.data_version,
        "columns": {field.name: str(field.type) for field in schema},
        "schema": base64.b64encode(schema.serialize()).decode(),
        "parts": [asdict(file) for file in files],
    }
    with atomic_file(f"{folder}/{MANIFEST}") as temporary:
        temporary.write_text(json.dumps(manifest, indent=1))
    return table


def single_file(path: Path) -> PartitionedTable:
    """One Parquet file as a partitioned table with a single part."""
    size, sha256 = size_and_sha256(str(path))
    with pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    return PartitionedTable(str(path.parent), schema, (Part(str(path), 0, 0, rows, size, sha256),))


def data_version_of(hashes: Sequence[str]) -> str:
    """First twelve hex digits of a SHA-256 over the hashes of the parts."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:12]


def _parts(folder: str, files: Sequence[PartFile]) -> tuple[Part, ...]:
    parts, first_row = [], 0
    for number, file in enumerate(files):
        parts.append(Part(f"{folder}/{file.file}", number, first_row, file.rows, file.bytes, file.sha256))
        first_row += file.rows
    return tuple(parts)
