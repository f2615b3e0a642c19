"""How one file of a batch differs from ours: other names of columns, and ids that are to be made."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from routing_assets.datasets.column_mapping import MadeIds, map_columns, refuse_made_ids, renamed, unknown_column
from routing_assets.datasets.raw_portions import RawPortions
from routing_assets.datasets.reading import RawTable, is_json_lines, open_tables, read_json_lines
from routing_assets.foundation.errors import InvalidInput
from routing_assets.providers.lines import batch_line, is_request, with_id

_ID, _TEXT = "instruction_id", "instruction"


@dataclass(frozen=True)
class FileLayout:
    """What the columns of a file are called, and what its ids are made from.

    Attributes:
        columns: by our name, the file's own. Keys of JSON records count as columns.
        made_ids: make the ids; of requests, where a line has none. Ids from equal texts are numbered: ``x``, ``x-2``.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    made_ids: MadeIds | None = None

    def __bool__(self) -> bool:
        return bool(self.columns or self.made_ids)

    def fitting(self, path: Path) -> FileLayout:
        """What of this layout a file needs: of columns that it has, and where ours are missing."""
        if not self:
            return self
        if is_json_lines(path):
            names = list({name: None for record in islice(read_json_lines(path), 20) for name in record})
        else:
            names = open_tables(path)[0].names
        columns = {ours: theirs for ours, theirs in self.columns.items() if theirs in names and ours not in names}
        return FileLayout(columns, None if _ID in (*names, *columns) else self.made_ids)

    def records(self, records: Iterator[dict[str, Any]], source: str) -> Iterator[dict[str, Any]]:
        """JSON records under our names, with their ids.

        Raises:
            InvalidInput: no record has one of the columns; ids are to be made of rows that have some.
        """
        if not self:
            yield from records
            return
        missing, distinct = dict(self.columns), _Distinct()
        for row, record in enumerate(records, start=1):
            missing = {ours: theirs for ours, theirs in missing.items() if theirs not in record}
            yield self._record(record, row, source, distinct)
        for ours, theirs in missing.items():
            raise unknown_column(record, ours, theirs, source)

    def portions(self, raw: RawPortions) -> RawPortions:
        """A table under our names, with its ids. Raises InvalidInput as :func:`map_columns`."""
        if not self:
            return raw
        names = renamed(raw.names, self.columns, raw.source)
        if self.made_ids is not None:
            refuse_made_ids(names, self.made_ids, raw.source)
            names = [*names, _ID]
        own = {ours: theirs for theirs, ours in zip(raw.names, names, strict=False)}

        def tables(rows: int, chosen: Sequence[str] | None) -> Iterator[pa.Table]:
            wanted = dict.fromkeys(chosen or names)
            if self.made_ids is not None:
                wanted[_TEXT] = None
            first_row, distinct = raw.first_row, _Distinct()
            columns = {ours: theirs for ours, theirs in self.columns.items() if ours in wanted}
            for table in raw.tables(rows, [own[name] for name in wanted if name in own]):
                part = map_columns(RawTable(raw.source, table, first_row), columns, self.made_ids)
                first_row += len(table)
                made = part.columns
                if self.made_ids is not None:
                    ids = pa.array(map(distinct, made[_ID].to_pylist()), pa.string())
                    made = made.drop_columns([_ID]).append_column(_ID, ids)
                yield made.select(list(chosen or names))

        return RawPortions(raw.source, names, tables, raw.first_row)

    def _record(self, record: dict[str, Any], row: int, source: str, distinct: _Distinct) -> dict[str, Any]:
        names = {theirs: ours for ours, theirs in self.columns.items()}
        identity = self.columns.get(_ID)
        mapped = {names.get(name, name): value for name, value in record.items() if name != identity}
        if not is_request(mapped):
            if identity in record:
                mapped[_ID] = record[identity]
            if self.made_ids is not None:
                refuse_made_ids(list(mapped), self.made_ids, source)
                mapped[_ID] = distinct(self._made(mapped.get(_TEXT), row))
            return mapped
        if identity is not None:
            return with_id(mapped, record.get(identity))
        if self.made_ids is not None and batch_line(mapped).id is None:
            return with_id(mapped, distinct(self._made(batch_line(mapped).body, row)))
        return mapped

    def _made(self, content: Any, row: int) -> str:
        if self.made_ids == "row" or content is None:
            return f"row-{row}"
        text = content if isinstance(content, str) else json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


class _Distinct:
    """Numbers what occurs more than once."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, name: str) -> str:
        self._seen[name] += 1
        return name if self._seen[name] == 1 else f"{name}-{self._seen[name]}"


AS_OURS = FileLayout()
_BESIDE = ("input", "context")
"""Columns in which tables for fine-tuning keep the text that an instruction is about."""


def refuse_divided_texts(ignored: Collection[str], source: Path, *layouts: FileLayout) -> None:
    """Raise InvalidInput for a table that has more of what is asked beside ``instruction``, as Alpaca and Dolly do,
    unless one of the layouts names the column of texts.
    """
    beside = [name for name in _BESIDE if name in ignored]
    if beside and not any(_TEXT in layout.columns for layout in layouts):
        raise InvalidInput(
            f"the file has a column {beside[0]!r} beside 'instruction', and what it holds would not be sent",
            source=str(source),
            column=beside[0],
            remedy="Write both texts into one column; or leave it out, by --text-column instruction",
        )


def batch_records(path: Path, layout: FileLayout = AS_OURS) -> Iterator[dict[str, Any]]:
    """The records of a JSON file, under our names; see :func:`read_json_lines` and :meth:`FileLayout.records`."""
    return layout.records(read_json_lines(path), str(path))
