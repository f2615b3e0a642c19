"""Parquet, CSV and JSONL files as one raw table that still knows the row numbers a user sees.

Row numbers count records from the top of the file: the first record of a Parquet or JSONL file is row 1; the header
of a CSV file is row 1 and its first record row 2, as a spreadsheet shows it (a line break inside quotes starts no
new row, and blank lines are not counted).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from routing_assets.datasets.containers import BYTE_ORDER_MARK, SUPPORTED, container_of, ending_of, open_text
from routing_assets.datasets.csv_files import CsvTables, dialect_of
from routing_assets.datasets.excel_files import read_sheet
from routing_assets.datasets.file_faults import Limits, no_rows, not_utf8, too_large
from routing_assets.datasets.json_arrays import array_elements, records_within
from routing_assets.datasets.parquet_files import ParquetTables
from routing_assets.foundation.errors import InvalidInput

MOST_BYTES = (2 << 30) - 2
"""Of a file of any kind, and of what it holds once it is unpacked."""
LONGEST_LINE = 64 << 20
"""Bytes of a line of JSON."""
MOST_ROWS = 20_000_000
MOST_COLUMNS = 10_000


@dataclass(frozen=True, eq=False)
class RawTable:
    """A file as it was read, nothing checked but that its columns have distinct names and that it has rows.

    Attributes:
        source: The path as the user gave it, for messages.
        columns: The file's columns; those of a CSV are text, where the empty text is a missing value.
        first_row: Row number of the first record (2 for CSV, else 1).
    """

    source: str
    columns: pa.Table
    first_row: int = 1

    def row(self, index: int | np.integer) -> int:
        """The row number a user sees for the record at ``index``."""
        return self.first_row + int(index)

    def __len__(self) -> int:
        return self.columns.num_rows


def read_raw_table(path: str | Path, *, wanted: Container[str] | None = None) -> RawTable:
    """Reads a file of records: Parquet, CSV with a header, JSON Lines, a JSON array, or an Excel sheet.

    Args:
        path: the file.
        wanted: of JSON, keys whose values are kept; see :func:`records_to_table`.

    Raises:
        InvalidInput: when the file is absent, of another kind, corrupt, not UTF-8, has no rows, or repeats a column.
        OSError: the machine could not read it, which may pass: too many open files, a failing disk, no permission.
    """
    path = Path(path)
    if is_json_lines(path):
        return records_to_table(read_json_lines(path), source=str(path), wanted=wanted)
    tables, first_row = open_tables(path)
    require_distinct(tables.names, str(path))
    found = list(tables.tables(_ROWS_OF_TABLE))
    if not found:
        raise no_rows(str(path))
    return RawTable(str(path), pa.concat_tables(found), first_row)


class HeldTable:
    """A table in memory, read like a file."""

    def __init__(self, table: pa.Table) -> None:
        self.names, self._table = table.column_names, table

    def tables(self, _: int, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The whole table, or the named columns of it."""
        yield self._table if names is None else self._table.select(names)


def open_tables(path: Path) -> tuple[ParquetTables | CsvTables | HeldTable, int]:
    """The tables of a Parquet, CSV or Excel file, and the row number of the first record. Raises InvalidInput and
    OSError as :func:`read_raw_table` does.
    """
    require_file(path)
    container = container_of(path, MOST_BYTES)
    if container.kind == "csv":
        file = CsvTables(path, dialect_of(container.head), limits())
        return file, file.first_row
    if container.kind == "excel":
        names, rows, _ = read_sheet(path, limits())
        require_distinct(names, str(path))
        cells = zip(*rows, strict=True)
        return HeldTable(pa.table([_to_array(list(column)) for column in cells], names)), 2
    return ParquetTables(path, limits()), 1


def remarks_on(path: Path) -> list[str]:
    """What the sender of a file may not expect of how it is read, such as "separated by semicolons"."""
    container = container_of(path, MOST_BYTES)
    if container.kind == "csv":
        return [*container.remarks, *dialect_of(container.head).remarks]
    if container.kind == "excel":
        return [remark for remark in [read_sheet(path, limits())[2]] if remark]
    if container.kind == "json" and container.head.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"["):
        return [*container.remarks, "one JSON array"]
    return container.remarks


def limits() -> Limits:
    """The limits of a file that is read into memory."""
    return Limits(MOST_BYTES, MOST_ROWS, MOST_COLUMNS)


def require_distinct(names: Iterable[str], source: str) -> None:
    """Raises InvalidInput for a column name that occurs twice."""
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidInput(
            "the column name occurs twice", source=source, column=repeated[0], remedy="Rename or remove one of them"
        )


def read_json_lines(path: str | Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, one per line, in order, one at a time.

    Raises:
        InvalidInput: when the file is absent, too large, not UTF-8 or has no rows, or when a line is not one JSON
            object with distinct keys.
    """
    path = Path(path)
    count = 0
    for count, line in enumerate(json_lines(path), start=1):
        if count > MOST_ROWS:
            raise too_large(str(path), f"it has more than {MOST_ROWS:,} rows")
        yield _json_object(line, path, count)
    if not count:
        raise no_rows(str(path))


def json_lines(path: Path) -> Iterator[bytes]:
    """The lines of the objects of :func:`read_json_lines`. Blank ones and commas at their ends are left out."""
    return (line.rstrip().removesuffix(b",") for _, line in _lines(path) if not _is_blank(line))


def is_json_lines(path: Path) -> bool:
    """Whether the file holds JSON records: lines, an array, or one object with a list of them."""
    if ending_of(path) in (".jsonl", ".ndjson") or not path.is_file():
        return ending_of(path) in (".jsonl", ".ndjson", ".json")
    return container_of(path, MOST_BYTES).kind == "json"


def is_json_document(path: Path) -> bool:
    """Whether this is a ``.json`` file that holds one object, over one line or more."""
    if ending_of(path) != ".json":
        return False
    require_file(path)
    with open_text(path, MOST_BYTES) as text:
        if text.peek(1)[:1] == b"[":
            return False
        first = text.readline(LONGEST_LINE)
        return not text.read(_BYTES_AT_ONCE).strip() or not _is_whole(first)


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_blank(line: bytes) -> bool:
    return not line.strip() or line.strip() == BYTE_ORDER_MARK


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    require_file(path)
    if is_json_document(path):
        yield from _records_of_document(path)
        return
    with open_text(path, MOST_BYTES) as text:
        if text.peek(1)[:1] == b"[":
            yield from array_elements(text, path, LONGEST_LINE)
            return
        for number, line in enumerate(iter(lambda: text.readline(LONGEST_LINE + 1), b""), start=1):
            if len(line) > LONGEST_LINE:
                raise InvalidInput(
                    f"the line has more than {LONGEST_LINE >> 20} MiB",
                    source=str(path),
                    row=number,
                    remedy="Give large images and files by a link, or remove the line",
                )
            yield number, line


def _records_of_document(path: Path) -> Iterator[tuple[int, bytes]]:
    text = read_text(path)
    if len(text) > LONGEST_LINE:
        raise too_large(str(path), f"one JSON object has more than {LONGEST_LINE >> 20} MiB; write it as JSON Lines")
    document = _json_object(text.encode(), path, 1)
    for number, record in enumerate(records_within(document, path), start=1):
        yield number, json.dumps(record, ensure_ascii=False).encode(errors="surrogatepass")


def first_json_line(path: Path) -> dict[str, Any]:
    """The first object of a JSONL file; see :func:`read_json_lines`."""
    return next(read_json_lines(path))


def records_to_table(
    records: Iterable[dict[str, Any]], *, source: str, wanted: Container[str] | None = None
) -> RawTable:
    """JSON objects as a table; a key that an object lacks is null there, and mixed types become text.

    Args:
        records: read one at a time, so that only columns are held.
        wanted: keys whose values are kept; those of others become null. All by default.
    """
    names: dict[str, None] = {}
    chunks = list(json_chunks(records, names, source=source, wanted=wanted))
    columns = {name: _joined([arrays.get(name, pa.nulls(rows)) for rows, arrays in chunks]) for name in names}
    return RawTable(source, pa.table(columns))


def json_chunks(
    records: Iterable[dict[str, Any]], names: dict[str, None], *, source: str, wanted: Container[str] | None = None
) -> Iterator[tuple[int, dict[str, pa.Array]]]:
    """A thousand JSON objects at a time: how many they are, and a column for each key so far, of a type of its own.

    Args:
        names: the keys so far, which are added to.
    """
    if wanted is not None:
        records = ({name: value if name in wanted else None for name, value in record.items()} for record in records)
    records, count = iter(records), 0
    while chunk := list(islice(records, _ROWS_AT_ONCE)):
        names |= dict.fromkeys(name for record in chunk for name in record)
        if len(names) > MOST_COLUMNS:
            raise too_large(source, f"its objects have {len(names)} different keys")
        yield len(chunk), _arrays(chunk, names, source, count)
        count += len(chunk)


def _arrays(records: list[dict[str, Any]], names: Iterable[str], source: str, before: int) -> dict[str, pa.Array]:
    """The columns of a few records, before which the file has ``before`` others."""
    try:
        "".join(names).encode()
        return {name: _to_array([record.get(name) for record in records]) for name in names}
    except RecursionError as error:
        raise InvalidInput("the values are nested too deeply", source=source, remedy="Nest them less deeply") from error
    except UnicodeEncodeError as error:
        raise InvalidInput(
            "a text holds half a surrogate pair (such as \\ud83d alone), which is not a character",
            source=source,
            row=before + _first_unencodable(records) + 1,
            remedy="Write the text again as UTF-8",
        ) from error


def _joined(parts: list[pa.Array]) -> pa.ChunkedArray:
    kind = common_type({part.type for part in parts})
    return pa.chunked_array([as_type(part, kind) for part in parts], kind)


def common_type(types: Iterable[pa.DataType]) -> pa.DataType:
    """The type of a JSON column, from its chunks: whole and other numbers become floats, other mixed types text."""
    types = set(types) - {pa.null()}
    if len(types) > 1:
        return pa.float64() if types <= _NUMBERS else pa.string()
    return next(iter(types), pa.null())


def as_type(part: pa.Array, kind: pa.DataType) -> pa.Array:
    """A chunk of a JSON column, as the :func:`common_type` of them all."""
    if part.type == kind:
        return part
    if pa.types.is_null(part.type):
        return pa.nulls(len(part), kind)
    return part.cast(kind, safe=False) if kind == pa.float64() else _as_text(part.to_pylist())


def read_text(path: Path) -> str:
    """The whole file as text, without a byte-order mark.

    Raises:
        InvalidInput: when the file is absent or not UTF-8, naming the first line that is not.
    """
    require_file(path)
    with open_text(path, MOST_BYTES) as text:
        content = text.read()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(path, error, content.count(b"\n", 0, error.start) + 1) from error


def require_file(path: Path) -> None:
    """Raises InvalidInput unless ``path`` is an existing file of at most :data:`MOST_BYTES`."""
    if not path.is_file():
        what = "this is a directory, not a file" if path.is_dir() else "there is no such file"
        raise InvalidInput(what, source=str(path), remedy=f"Give the path of a {SUPPORTED} file")
    require_size(path)


def require_size(path: Path) -> None:
    """Raises InvalidInput for a file of more than :data:`MOST_BYTES`."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise too_large(str(path), f"it has {size / 2**30:.1f} GiB")


def _json_object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = _JSON.decode(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise not_utf8(path, error, number) from error
    except RecursionError as error:
        raise _not_json("the values are nested too deeply", path, number) from error
    except ValueError as error:
        raise _not_json(f"the line is not valid JSON ({error})", path, number) from error
    if not isinstance(record, dict):
        raise InvalidInput(
            f"the line holds a JSON {type(record).__name__}, not an object",
            source=str(path),
            row=number,
            remedy='Write one object per line, such as {"instruction_id": "1", "instruction": "…"}',
        )
    return record


def _not_json(problem: str, path: Path, row: int) -> InvalidInput:
    remedy = "Write one JSON object per line, without comments"
    return InvalidInput(problem, source=str(path), row=row, remedy=remedy)


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key occurs twice")
    return record


def _first_unencodable(records: list[dict[str, Any]]) -> int:
    for index, record in enumerate(records):
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return index
    raise AssertionError("every record can be encoded")


_JSON = json.JSONDecoder(object_pairs_hook=_distinct_keys)
_NUMBERS = {pa.int64(), pa.float64()}
_BYTES_AT_ONCE = 1 << 20
_ROWS_OF_TABLE = 1 << 16  # of a Parquet file
_ROWS_AT_ONCE = 1_000  # of JSON, as objects of Python


def _to_array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return _as_text(values)


def _as_text(values: list[Any]) -> pa.Array:
    texts = [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
    return pa.array(texts, pa.string())
