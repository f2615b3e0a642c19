"""One part of a partitioned table: a Parquet file with some of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.foundation.errors import InvalidInput
from routing_assets.storage.places import LocalFile, atomic_file, local_file, read_bytes, size_and_sha256

BATCH_ROWS = 16_384
MAKE_AGAIN = "Make the table again."


@dataclass(frozen=True)
class PartFile:
    """The manifest's record of one part."""

    file: str
    rows: int
    bytes: int
    sha256: str

    def is_intact_in(self, folder: str) -> bool:
        """Whether the folder has the file, with the recorded size and hash."""
        try:
            return size_and_sha256(f"{folder}/{self.file}") == (self.bytes, self.sha256)
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Part:
    """A reference to one part: small, picklable, and usable on every machine that can read the path.

    Attributes:
        path: path or URL of the file.
        number: index of the part, from 0.
        first_row: index of its first row in the whole table, from 0.
        sha256: of the file, hex.
    """

    path: str
    number: int
    first_row: int
    rows: int
    bytes: int
    sha256: str

    @property
    def file(self) -> PartFile:
        """What the manifest says of it."""
        return PartFile(self.path.rsplit("/", 1)[-1], self.rows, self.bytes, self.sha256)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of the part, with all columns or the named ones.

        Raises:
            InvalidInput: the file is missing or damaged.
            KeyError: a named column is missing.
        """
        file = self._opened()
        return file.read(columns=_known(file, columns))

    def batches(self, columns: Sequence[str] | None = None, *, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The rows as in ``read``, at most ``rows`` at a time."""
        file = self._opened()
        yield from file.iter_batches(batch_size=rows, columns=_known(file, columns))

    def verify(self) -> None:
        """Raise InvalidInput if the file is missing or damaged."""
        self._content()

    def _opened(self) -> pq.ParquetFile:
        """On this machine a file is hashed once by each process, as long as it stays as it is: a sweep reads a part
        again and again, and of each table only some columns.
        """
        local = local_file(self.path)
        if local is None:
            return pq.ParquetFile(self._content())
        _verify_once(self, local)
        return pq.ParquetFile(local.path)

    def _content(self) -> pa.Buffer:
        """The whole file, compared with its hash."""
        try:
            content = read_bytes(self.path)
        except FileNotFoundError as error:
            raise InvalidInput("this part of a table is missing", source=self.path, remedy=MAKE_AGAIN) from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise InvalidInput(
                f"this part of a table is damaged: {self.bytes} bytes with SHA-256 {self.sha256[:12]} were written, "
                f"the file has {len(content)} bytes with SHA-256 {found[:12]}",
                source=self.path,
                remedy=MAKE_AGAIN,
            )
        return pa.py_buffer(content)


@lru_cache(maxsize=1 << 16)
def _verify_once(part: Part, _: LocalFile) -> None:
    part.verify()


def part_name(number: int) -> str:
    """The file name of a part."""
    return f"part-{number:06d}.parquet"


def write_part(folder: str, file: str, table: pa.Table) -> PartFile:
    """Write rows as one file of the table in ``folder``, completely or not at all."""
    with atomic_file(f"{folder}/{file}") as temporary:
        _write(table, str(temporary))
        return PartFile(file, table.num_rows, *size_and_sha256(str(temporary)))


def _write(table: pa.Table, path: str) -> None:
    """Matrices are not dictionary-encoded, because their values seldom repeat. Lists keep the names of their items, so
    that the schema is the same when it is read.
    """
    by_dictionary = [field.name for field in table.schema if not pa.types.is_fixed_size_list(field.type)]
    pq.write_table(
        table,
        path,
        compression="zstd",
        use_dictionary=by_dictionary,
        use_byte_stream_split=True,
        use_compliant_nested_type=False,
    )


def _known(file: pq.ParquetFile, columns: Sequence[str] | None) -> list[str] | None:
    """The named columns. Raises KeyError if the part lacks one, which PyArrow would silently leave out."""
    return columns if columns is None else [file.schema_arrow.field(name).name for name in columns]
