"""Read a batch file in portions, so that it is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from routing_assets.datasets.batch import COLUMNS, OF_TABLES, BatchInstructions
from routing_assets.datasets.batch_columns import column_values, filled_columns
from routing_assets.datasets.file_faults import no_rows
from routing_assets.datasets.file_layout import AS_OURS, FileLayout, batch_records
from routing_assets.datasets.openai_batch import LOOKED_AT, are_requests, openai_requests, table_rows
from routing_assets.datasets.raw_portions import RawPortions, json_portions, raw_portions
from routing_assets.datasets.reading import HeldTable, is_json_lines, require_distinct
from routing_assets.datasets.set_aside import Faults, SetAside, marked

PORTION_ROWS = 16_384


@dataclass(frozen=True, eq=False)
class BatchPortions:
    """A batch of which one portion is held at a time.

    Attributes:
        instructions: How many can be routed.
        set_aside: Records of the whole file that cannot, by the reason.
    """

    instructions: int
    set_aside: SetAside
    _raw: RawPortions
    _filled: list[str]
    _empty: BatchInstructions
    _places: np.ndarray
    _rows: int

    @property
    def ignored_columns(self) -> tuple[str, ...]:
        """Columns of the file that routing does not use."""
        return self._empty.ignored_columns

    def __iter__(self) -> Iterator[BatchInstructions]:
        """The instructions that can be routed, in the file's order; each portion has the same columns."""
        first = 0
        for raw in self._raw.read(self._rows, self._filled):
            kept = np.flatnonzero(~marked(self._places, first, len(raw)))
            first += len(raw)
            if len(kept):
                columns: dict[str, Any] = {name: column_values(raw, name)[kept] for name in self._filled}
                yield replace(self._empty, **columns)

    def read(self) -> BatchInstructions:
        """The whole batch, in memory."""
        portions = list(self)
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(one, name) for one in portions]) for name in self._filled
        }
        return replace(self._empty, **columns)


@contextmanager
def open_batch(
    path: str | Path,
    *,
    strict: bool = False,
    rows: int = PORTION_ROWS,
    layout: FileLayout = AS_OURS,
    by_length: bool = False,
) -> Iterator[BatchPortions]:
    """Checks a batch file as :func:`load_batch` does, and reads it in portions, as often as wanted.

    Args:
        path: the file; it must not change while it is open.
        strict: refuse the file for the first record that cannot be routed.
        by_length: how tokens of requests are counted, see ``read_request``.
        rows: of a portion at most; a portion has fewer where records are set aside or texts are long.
        layout: how the file differs from ours.

    Raises:
        InvalidInput: as :func:`load_batch`.
    """
    path = Path(path)
    faults = Faults(str(path), strict=strict)
    if not is_json_lines(path):
        raw = layout.portions(raw_portions(path))
        faults.first_row = raw.first_row
        yield _checked(raw, OF_TABLES, faults, rows)
        return
    records = batch_records(path, layout)
    first = list(islice(records, LOOKED_AT))
    records = chain(first, records)
    requests = are_requests(first)
    records = openai_requests(records, faults, by_length=by_length) if requests else table_rows(records, faults)
    known = COLUMNS if requests else OF_TABLES
    with json_portions(records, source=str(path), wanted=known) as raw:
        yield _checked(raw, known, faults, rows)


def load_batch(
    path: str | Path, *, strict: bool = False, layout: FileLayout = AS_OURS, by_length: bool = False
) -> BatchInstructions:
    """Reads a batch file; JSON records of requests may be in the form of any provider.

    Columns beyond ``instruction_id, instruction, [task], [group], [input_tokens]`` are not used; their names are
    kept in ``ignored_columns``. A single record that cannot be routed does not stop the others: it is set aside.

    Args:
        path: the file.
        strict: refuse the file for its first such record instead.
        layout: how the file differs from ours.
        by_length: how tokens of requests are counted, see ``read_request``.

    Raises:
        InvalidInput: naming file, row and column of the first fault found, where the file as a whole cannot be used,
            two ids are equal, or no record can be routed.
    """
    with open_batch(path, strict=strict, layout=layout, by_length=by_length) as portions:
        return portions.read()


def batch_from_table(table: pa.Table, source: str, *, strict: bool = False) -> BatchInstructions:
    """A table in memory as a batch, checked as :func:`load_batch` checks a file; ``source`` names it in messages."""
    require_distinct(table.column_names, source)
    if not len(table):
        raise no_rows(source)
    raw = RawPortions(source, table.column_names, HeldTable(table).tables)
    return _checked(raw, OF_TABLES, Faults(source, strict=strict), PORTION_ROWS).read()


def _checked(raw: RawPortions, known: tuple[str, ...], faults: Faults, rows: int) -> BatchPortions:
    filled, records = filled_columns(raw, known, faults, rows)
    places, set_aside = faults.places(), faults.set_aside
    ignored = tuple(name for name in raw.names if name not in known)
    none = np.array([], object)
    empty = BatchInstructions(none, none, ignored_columns=ignored, set_aside=set_aside)
    return BatchPortions(records - len(places), set_aside, raw, filled, empty, places, rows)
