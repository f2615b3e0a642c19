"""One part of a partitioned table: a Parquet file of some of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.foundation.errors import InvalidInput
from routing_assets.storage.places import LocalFile, local_file, read_bytes, size_and_sha256, written

BATCH_ROWS = 16_384
MAKE_AGAIN = "Make the table again."


@dataclass(frozen=True)
class PartFile:
    """What the manifest says of one part."""

    file: str
    rows: int
    bytes: int
    sha256: str

    def is_whole_in(self, folder: str) -> bool:
        """Whether the file is there, as it was written."""
        try:
            return size_and_sha256(f"{folder}/{self.file}") == (self.bytes, self.sha256)
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Part:
    """A reference to one part: small, picklable, and of use on every machine that reaches the path.

    Attributes:
        number: its place among the parts, from zero.
        first_row: place of its first row in the whole table, from zero.
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
        """The rows of the part; all columns or those that are named.

        Raises:
            InvalidInput: the file is missing, or has not the bytes that were written.
        """
        file = self._opened()
        return file.read(columns=_known(file, columns))

    def batches(self, columns: Sequence[str] | None = None, *, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The same, at most ``rows`` rows at a time."""
        file = self._opened()
        yield from file.iter_batches(batch_size=rows, columns=_known(file, columns))

    def verify(self) -> None:
        """Raise InvalidInput unless the file is there and has the bytes that were written."""
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
                f"and {len(content)} bytes with {found[:12]} are there",
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
    """Write rows as a file of the table in ``folder``: the whole file, or none."""
    with written(f"{folder}/{file}") as temporary:
        _write(table, str(temporary))
        return PartFile(file, table.num_rows, *size_and_sha256(str(temporary)))


def _write(table: pa.Table, path: str) -> None:
    """Matrices are not dictionary-encoded, as their values seldom repeat. Lists keep their inner names, so that the
    schema that is read is the one that was written.
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
    """The named columns. Raises KeyError for one that the part lacks: Parquet would leave it out without a word."""
    return columns if columns is None else [file.schema_arrow.field(name).name for name in columns]
