"""What a file is by its first bytes, whatever its name says; and its text as UTF-8, unpacked.

Text may be packed by gzip, zstd or bzip2, and may be UTF-16 with a byte-order mark. Nothing is held but a buffer.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from routing_assets.datasets.file_faults import too_large
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import PACKED_ENDINGS

Kind = Literal["parquet", "csv", "json", "excel"]
SUPPORTED = "Parquet, CSV, JSON Lines, JSON or Excel"
BYTE_ORDER_MARK = codecs.BOM_UTF8
_ENDINGS: dict[str, Kind] = {
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), "excel"),
}
ENDINGS = (*_ENDINGS, *PACKED_ENDINGS)
"""Of the names of files that are read."""
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_PARQUET = b"PAR1"
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_FOREIGN = {
    _ZIP: ("a zip archive", "Unpack it"),
    b"\xfd7zXZ\x00": ("packed by xz", "Unpack it, or pack it by gzip or zstd"),
    b"7z\xbc\xaf": ("a 7z archive", "Unpack it"),
    b"\x04\x22\x4d\x18": ("packed by lz4", "Unpack it, or pack it by gzip or zstd"),
    b"ARROW1\x00\x00": ("an Arrow or Feather file", "Write it as Parquet"),
    b"Obj\x01": ("an Avro file", "Write it as Parquet"),
    b"SQLite format 3": ("a SQLite database", "Export the table as CSV"),
    b"%PDF": ("a PDF", "Write its texts as CSV"),
}
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class Container:
    """How a file holds its records.

    Attributes:
        compression: gzip, zstd or bz2.
        encoding: of a text that is not UTF-8.
        head: the first bytes of its text, unpacked, as UTF-8; empty where it is no text.
    """

    kind: Kind
    compression: str | None = None
    encoding: str | None = None
    head: bytes = b""

    @property
    def remarks(self) -> list[str]:
        """What of it is unusual, in words."""
        encoding = f"{self.encoding.upper()} text" if self.encoding else None
        return [said for said in (self.compression and f"packed by {self.compression}", encoding) if said]


def container_of(path: Path, most_bytes: int) -> Container:
    """How a file holds its records.

    Args:
        most_bytes: that it may have, unpacked.

    Raises:
        InvalidInput: it is of another kind, which is named.
    """
    ending = ending_of(path)
    with path.open("rb") as file:
        first = file.read(16)
    if ending in (".parquet", ".pq") or first.startswith(_PARQUET):
        return Container("parquet")
    if first.startswith(_OLE) or (first.startswith(_ZIP) and _ENDINGS.get(ending) == "excel"):
        return Container("excel")
    _refuse_foreign(path, first)
    with _unpacked(path, most_bytes) as (unpacked, compression):
        inner = unpacked.peek(16)
        if compression:
            if inner.startswith((_PARQUET, _ZIP, *_PACKED)):
                raise InvalidInput(f"this is a packed file within {compression}", source=str(path), remedy="Unpack it")
            _refuse_foreign(path, inner)
        encoding = _encoding_of(path, inner[:4])
        head = _recoded(path, unpacked, encoding).read(_HEAD_BYTES)
    kind = _ENDINGS.get(ending) or _kind_of_text(head.removeprefix(BYTE_ORDER_MARK), ending)
    if kind is None or (kind == "parquet" and compression):
        raise InvalidInput(
            f"the file type '{path.suffix}' is not supported", source=str(path), remedy=f"Save it as {SUPPORTED}"
        )
    return Container(kind, compression, encoding, head)


def ending_of(path: Path) -> str:
    """The ending of a file's name in lower case, before that of what packed it."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in PACKED_ENDINGS else suffix


@contextmanager
def open_text(path: Path, most_bytes: int) -> Iterator[io.BufferedReader]:
    """The text of a file as UTF-8, unpacked, without a byte-order mark.

    Raises:
        InvalidInput: it is cut off or damaged, or has more bytes than allowed.
        OSError: the machine could not read it, which may pass.
    """
    with _unpacked(path, most_bytes) as (unpacked, _):
        text = _recoded(path, unpacked, _encoding_of(path, unpacked.peek(4)[:4]))
        if text.peek(3).startswith(BYTE_ORDER_MARK):
            text.read(len(BYTE_ORDER_MARK))
        yield text


def write_as_utf8(path: Path, encoding: str, target: Path, most_bytes: int) -> None:
    """Write the text of a file, which is in ``encoding``, as UTF-8, unpacked. What is UTF-8 already is only unpacked.

    Raises:
        InvalidInput: there is no such encoding, or a byte is none of it.
    """
    try:
        "".encode(encoding)
    except (LookupError, ValueError) as error:
        raise InvalidInput(
            f"there is no encoding {encoding!r}", remedy="Give one such as cp1252, latin-1, utf-16 or shift_jis"
        ) from error
    with _unpacked(path, most_bytes) as (unpacked, _), target.open("wb") as file:
        text = _recoded(path, unpacked, encoding)
        while block := text.read(_HEAD_BYTES):
            file.write(block)


def is_other_than_utf8(path: Path, most_bytes: int) -> bool:
    """Whether this is a text that is neither UTF-8 nor says by a byte-order mark what it is."""
    try:
        if container_of(path, most_bytes).kind not in ("csv", "json"):
            return False
    except InvalidInput:
        return True  # UTF-16 without a mark, or refused where it is read
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_text(path, most_bytes) as text:
        try:
            while block := text.read(_HEAD_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return True
    return False


@contextmanager
def _unpacked(path: Path, most_bytes: int) -> Iterator[tuple[io.BufferedReader, str | None]]:
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        head = file.peek(4)
        compression = next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)
        if compression is None:
            yield file, None
        else:
            stream = stack.enter_context(pa.CompressedInputStream(file, compression))
            yield io.BufferedReader(_Unpacking(path, stream, compression, most_bytes), _HEAD_BYTES), compression


def _recoded(path: Path, file: io.BufferedReader, encoding: str | None) -> io.BufferedReader:
    return file if encoding is None else io.BufferedReader(_Recoding(path, file, encoding), _HEAD_BYTES)


class _Unpacking(io.RawIOBase):
    """Unpacks a file up to a number of bytes: a kilobyte can stand for gigabytes."""

    def __init__(self, path: Path, stream: Any, compression: str, most_bytes: int) -> None:
        self._path, self._stream, self._compression, self._left = path, stream, compression, most_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._stream.read(len(buffer))
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the machine's fault, which may pass
            raise InvalidInput(
                f"the file is not whole {self._compression} ({error})", source=str(self._path), remedy="Copy it again"
            ) from error
        self._left -= len(block)
        if self._left < 0:
            raise too_large(str(self._path), "unpacked it has more than 2 GiB")
        buffer[: len(block)] = block
        return len(block)


class _Recoding(io.RawIOBase):
    """A text in another encoding, as UTF-8."""

    def __init__(self, path: Path, file: io.BufferedReader, encoding: str) -> None:
        self._path, self._file, self._encoding = path, file, encoding
        self._decoder, self._line, self._ready = codecs.getincrementaldecoder(encoding)(), 1, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        ended = False
        while not self._ready and not ended:
            block = self._file.read(_HEAD_BYTES)
            ended = not block
            self._ready = self._decoded(block, ended)
        block, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(block)] = block
        return len(block)

    def _decoded(self, block: bytes, ended: bool) -> bytes:
        try:
            text = self._decoder.decode(block, final=ended)
        except UnicodeDecodeError as error:
            line = self._line + str(error.object[: error.start], self._encoding, "replace").count("\n")
            raise InvalidInput(
                f"byte 0x{error.object[error.start]:02x} is not {self._encoding}",
                source=str(self._path),
                row=line,
                remedy="Save the file as UTF-8",
            ) from error
        self._line += text.count("\n")
        return text.encode()


def _encoding_of(path: Path, head: bytes) -> str | None:
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = [byte == 0 for byte in head]
    for name, pattern in (("utf-16-le", [False, True] * 2), ("utf-16-be", [True, False] * 2)):
        if zeros == pattern:
            raise InvalidInput(
                f"the text looks like {name.upper()} without a byte-order mark",
                source=str(path),
                remedy=f"Give --encoding {name} (policy file: encoding: {name}), or save it as UTF-8",
            )
    return None


def _refuse_foreign(path: Path, head: bytes) -> None:
    for magic, (what, remedy) in _FOREIGN.items():
        if head.startswith(magic):
            raise InvalidInput(f"this is {what}", source=str(path), remedy=f"{remedy}; read are {SUPPORTED}")


def _kind_of_text(head: bytes, ending: str) -> Kind | None:
    """Of a file whose name does not say it."""
    if ending not in ("", ".txt"):
        return None
    if head.lstrip()[:1] in (b"{", b"["):
        return "json"
    header = head.lstrip().partition(b"\n")[0]
    return "csv" if header and (ending == "" or any(separator in header for separator in b",;\t|")) else None
